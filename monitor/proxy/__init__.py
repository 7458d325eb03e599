"""Reverse proxy before a model server that logs its predictions."""
