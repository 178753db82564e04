"""What flows: the records on every topic, their units, and their bytes."""
