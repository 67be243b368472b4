"""Evaluation: what was measured, how sure it is, and whether to ship."""
