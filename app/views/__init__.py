"""Pages: each answers the question that is its title."""
