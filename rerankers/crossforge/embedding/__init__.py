"""Texts as vectors, without torch: a bi-encoder's ONNX export, and what it has embedded already."""
