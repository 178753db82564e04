"""`python -m streams.cli`: the command line."""

from streams.cli import main

main()
