"""Time .tflite files on an Android phone."""
