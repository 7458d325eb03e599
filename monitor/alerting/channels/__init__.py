"""Types of notification channels, one file each: an alert's message to a request."""
