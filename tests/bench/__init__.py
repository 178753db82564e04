"""Measured beside others and beside the practical limit, in interleaved rounds on one core."""
