"""May this message be obeyed? Pure."""
