"""Adapters for retrieval frameworks, one module each: importing one needs its framework, importing this nothing."""
