"""`undertow feed`: connections to venues, and what they give, into topics or into `run`."""
