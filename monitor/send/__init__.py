"""Senders of files, logs and Kafka topics to a server."""
