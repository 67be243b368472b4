"""Readers: one module for each kind of source, all behind `read_source`."""
