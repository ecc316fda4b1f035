"""Normalization: points of any vendor become one battery state."""
