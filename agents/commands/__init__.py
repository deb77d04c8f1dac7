"""Implement the commands of `python -m agents`."""
