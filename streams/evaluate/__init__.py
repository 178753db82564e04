"""Scores over whole histories, alarms against truth, and thresholds for a budget (batch)."""
