"""Venues on loopback: each speaks its protocol by a description, and misbehaves on command."""
