"""Serve a transformers language model as a policy that writes one token at a time."""
