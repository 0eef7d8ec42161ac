"""Bytes in and out: files that are read or mapped, and files that are staged and committed."""
