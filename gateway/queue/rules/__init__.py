"""What the queue decides: what is kept, what goes, what is missing. Pure."""
