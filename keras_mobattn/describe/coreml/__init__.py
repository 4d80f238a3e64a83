"""What an .mlpackage holds and where it would run."""
