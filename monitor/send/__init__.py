"""Files, logs and topics to a server."""
