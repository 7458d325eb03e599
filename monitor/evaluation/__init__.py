"""Profiles to findings: rules, causes, and one status a model."""
