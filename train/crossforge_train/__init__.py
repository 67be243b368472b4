"""crossforge_train: from a collection to a proven, packaged reranker."""
