"""Statistics of missing, invalid, new and constant values."""
