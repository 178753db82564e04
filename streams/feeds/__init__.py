"""Venues and chains: raw messages in, records out; `registry` knows them all."""
