"""Makes a cross-encoder out of a bi-encoder that scores, before any training, much like the bi-encoder's cosine."""
