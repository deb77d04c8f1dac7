"""Keep what people are asked and what they say: an append-only log, a queue on it, and what is made of it."""
