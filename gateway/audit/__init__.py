"""The audit: a hash chain of everything that was decided about control."""
