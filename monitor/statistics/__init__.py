"""One statistic per file: a number from two profiles, its interval, its formula and where it comes from."""
