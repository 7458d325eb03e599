"""A reverse proxy in front of a model server that logs its predictions."""
