"""HTTP: thin routes over the collector and the views."""

from monitor.api.app import create_app

__all__ = ["create_app"]
