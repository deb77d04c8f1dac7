"""Measure the environment, the agents and the feedback sources."""
