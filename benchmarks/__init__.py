"""Benchmarks of fastckpt against TensorFlow and safetensors; see README.md."""
