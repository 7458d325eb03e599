"""Other drift tools on the same streams as the detector: their false pages and their delays."""
