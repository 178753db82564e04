"""`undertow bridge`: topics of cryptofeed or tardis-machine, as ours, and what they lost."""
