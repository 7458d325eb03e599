"""Queries: the plain data that pages and API clients read.

They read the store and the server's memory, and write nothing, but for the importance
that `feature_importance` computes.
"""
