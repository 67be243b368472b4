"""Labels: who says how relevant a document is, and how far that is to be trusted."""
