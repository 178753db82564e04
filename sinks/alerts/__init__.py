"""What people are told of alerts: grouped, worded, and in the form that each channel takes."""
