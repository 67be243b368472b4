"""`crossforge sweep`: trains with several values of some keys and says which did best on dev."""
