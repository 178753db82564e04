"""A calibrated market: positions, liquidation engines and contagion (detection.md, section 3)."""
