"""What was proven on this site? Pure."""
