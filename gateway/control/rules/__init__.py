"""May power flow now, and how much? Pure."""
