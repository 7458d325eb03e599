"""driftdeck.toml: its sections, their limits and units, and what is stored of each column."""
