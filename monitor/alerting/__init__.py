"""Alerts to notifications: what is sent, to which channel, and retried until it is delivered."""
