"""The commands of `mobattn` and of the scripts: a module for each, with its `main` and its `run()`."""
