"""What we conclude, pure: engine, detectors, fold and alerts; no clock, I/O, logging or random."""
