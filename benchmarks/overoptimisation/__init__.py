"""Measure what becomes of a hidden true score while a learned one is optimised."""
