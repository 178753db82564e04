"""The generated night: prices, forced orders, trades and transfers as raw venue messages."""
