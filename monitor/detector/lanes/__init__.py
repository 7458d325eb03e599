"""The signals that the detector watches, each with its share of the false-alarm budget."""
