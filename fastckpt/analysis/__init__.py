"""What checkpoints contain, in numbers and differences."""
