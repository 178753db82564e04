"""Signed alert webhooks."""
