"""Analyses that people ask for: comparison of tables, domain classifier, feature importance."""
