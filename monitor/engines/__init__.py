"""Where profiles are computed: one file for each execution engine."""
