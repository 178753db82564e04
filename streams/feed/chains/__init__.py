"""How chains are heard: nodes of EVM chains, Bitcoin, Whale Alert; what is large, and whose."""
