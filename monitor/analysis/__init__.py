"""Analyses on request: comparison of tables, domain classifier, feature importance."""
