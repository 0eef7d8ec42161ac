"""V1 checkpoints: reader and writer."""
