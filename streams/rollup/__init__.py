"""`undertow rollup`: trades folded into mergeable bars, in Kafka transactions."""
