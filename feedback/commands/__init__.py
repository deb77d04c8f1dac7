"""Run the commands of `python -m feedback` that take more than a few lines."""
