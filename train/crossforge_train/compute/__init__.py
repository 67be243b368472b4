"""What works through batches: this process, or the workers of a Ray cluster."""
