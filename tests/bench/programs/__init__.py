"""What is timed: each is a process of its own, and prints one line of JSON."""
