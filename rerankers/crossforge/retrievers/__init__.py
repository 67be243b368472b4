"""First stages: the protocol in `base.py`, and one file for each of them."""
