"""`crossforge serve`: a package behind HTTP. Needs `crossforge[serve]`."""
