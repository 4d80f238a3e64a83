"""Read and write .tflite files."""
