"""Statistics of the service: traffic, latency and request errors."""
