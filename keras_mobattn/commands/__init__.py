"""What the scripts of training/, tflite/ and coreml/ do: one module a command, each with its `main` and its `run()`."""
