"""Folders whose finished files are read: watched by the server, parsed in a short-lived process of its own."""
