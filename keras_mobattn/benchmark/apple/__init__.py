"""Time .mlpackage folders on a Mac or an iPhone."""
