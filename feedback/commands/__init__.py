"""Commands of `python -m feedback`, each a function."""
