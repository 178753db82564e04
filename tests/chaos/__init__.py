"""Attacks on the guarantees: real processes on a real Kafka, killed, frozen, starved, lied to."""
