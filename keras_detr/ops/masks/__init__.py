"""Masks of objects: encoded, and from the logits that models return. NumPy only."""
