"""Detection: boxes around objects, with a class and a score for each (SSDLite)."""
