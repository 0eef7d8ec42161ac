"""V2 checkpoints, TensorFlow's tensor bundle: reader and writer."""
