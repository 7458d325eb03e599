"""Statistics that compare the distribution of a column with its reference."""
