"""Drop folders: watched by the server; a short-lived process parses each finished file."""
