"""The control socket on the box."""
