"""The box's files become one checked site: loading, maps, safety and its keys."""
