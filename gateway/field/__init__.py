"""Pathways to the battery: each holds its own protocol and nothing else."""
