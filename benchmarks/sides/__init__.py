"""One file for each side of a comparison; every one runs as a fresh process and prints one line of JSON."""
