"""driftdeck.toml: its sections, their limits and units, and the policy of each column."""
