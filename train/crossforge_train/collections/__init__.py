"""Test collections: `Collection` itself, its readers, checks and splits, and the built-in `pydocs`."""
