"""`undertow detect`: Faust agents around the pure core, and what Faust lacks for them."""
