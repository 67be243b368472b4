"""Evaluation: measures systems, tests for significance, and decides whether to ship."""
