"""How chains are heard: nodes of EVM chains, Bitcoin, Whale Alert; what of it is large, and whose."""
