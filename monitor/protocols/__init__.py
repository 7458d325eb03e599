"""Formats of model servers, one file each: bytes to rows of features and predictions."""
