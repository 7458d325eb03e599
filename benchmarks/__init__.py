"""Benchmarks: each of the project's speed goals, measured side by side with a baseline."""
