"""Points: raw values, the maps that name them, and how far a map can be trusted."""
