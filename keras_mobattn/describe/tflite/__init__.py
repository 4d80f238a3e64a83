"""What a .tflite file holds and where it would run."""
