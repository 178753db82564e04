"""Pure detectors: step(params, state, input) -> (state, findings)."""
