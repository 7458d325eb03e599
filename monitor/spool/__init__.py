"""The write-ahead log: accepted rows are on disk before a client gets its response."""
