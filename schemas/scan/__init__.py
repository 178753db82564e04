"""Trades read by the batch into columns, where a message is plainly a record."""
