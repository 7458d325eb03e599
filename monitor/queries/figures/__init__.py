"""Figures of one model: overview, service, quality, drift, columns, detector."""
