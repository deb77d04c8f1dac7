"""Learn what people like from what they said: evidence, losses, networks, heads, ensembles and how far to trust them."""
