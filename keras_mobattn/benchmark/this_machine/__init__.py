"""Time .tflite files on this machine."""
