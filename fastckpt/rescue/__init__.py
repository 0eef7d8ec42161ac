"""Damaged and interrupted checkpoints: diagnosis, completion, salvage."""
