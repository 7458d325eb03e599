"""The change detector: it evaluates every completed hour of a model without limits set by hand."""
