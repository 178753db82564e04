"""Faust shells around the pure engine."""
