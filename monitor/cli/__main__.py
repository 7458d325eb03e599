"""`python -m monitor.cli`: the same as the command."""

from monitor.cli import main

main()
