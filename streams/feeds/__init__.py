"""Venues and chains: raw messages in, records out, one file each."""
