"""Backends turn padded token arrays into logits; one file each, behind the protocol in `base.py`."""
