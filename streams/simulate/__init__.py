"""Generated markets with planted truth."""
