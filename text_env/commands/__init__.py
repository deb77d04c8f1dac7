"""Implement the commands of `python -m text_env`."""
