"""Scoring a whole table of pairs, of any length, in parts that a killed run leaves to the next."""
