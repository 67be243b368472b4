"""One module for each kind of pseudo-query."""
