"""Scoring heads: what gives a pair its logit; one file each, behind the protocol in `base.py`."""
