"""What every long-running process needs: settings, clock, logs, health, progress."""
