"""Formats that records come in, one file each."""
