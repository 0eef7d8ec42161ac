"""Checkpoints made from checkpoints: renamed, cut down, averaged, cast."""
