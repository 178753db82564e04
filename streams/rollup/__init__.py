"""The flood made small: trades folded into mergeable bars."""
