"""Pretrained checkpoints: what is published, where it comes from, and how it gets into a model and out again."""
