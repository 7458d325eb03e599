"""Statistics of predictions and their labels."""
