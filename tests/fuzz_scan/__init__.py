"""The scanner of trades held against the exact decoder: `python -m fuzz_scan --help`."""
