"""Adaptation: documents without judgements become a collection of pseudo-queries."""
