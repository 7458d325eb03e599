"""The client's backlog on disk, which survives the end of the process."""
