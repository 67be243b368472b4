"""Builds a cross-encoder from a bi-encoder; before any training, its scores follow the bi-encoder's cosines."""
