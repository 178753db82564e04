"""What we conclude: pure detectors and fold, and the thin shells that drive them."""
