"""Bytes to values and back: tables, records, messages, dtypes, slices. Opens no file."""
