"""What is in exported files, read without a model. Below export, describe and benchmark, which take it from here."""
