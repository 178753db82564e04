"""A night for people who were not there: one page and its pictures, every figure with its SQL."""
