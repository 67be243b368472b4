"""`crossforge sweep`: trains with different values of some keys and reports which did best on dev."""
