"""Serve a transformers causal language model as a policy that writes one token at a time."""
