"""Read .mlpackage folders."""
