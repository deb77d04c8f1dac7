"""Ask a language model behind an endpoint: what it is asked, how its answers are read, patience, what it costs, and what is kept."""
