"""`crossforge budget`: trains on shares of the labelled queries and says what more labels are expected to bring."""
