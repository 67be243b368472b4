"""Packaging: a fine-tuned model becomes a folder that every client reads the same way."""
