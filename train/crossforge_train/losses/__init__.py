"""The named losses; `GroupLoss` puts them over the groups of a batch."""
