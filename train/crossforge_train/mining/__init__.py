"""Mining: candidates of the first stage become groups of one query, its positives and hard negatives."""
