"""Alerts to notifications: rendered by a channel, sent, and retried until delivered."""
