"""The client's backlog on disk: it outlives the process."""
