"""Bi-encoders: their export, what they have embedded, tuning on queries, and a map of query vectors."""
