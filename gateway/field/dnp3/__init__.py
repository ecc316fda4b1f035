"""The DNP3 pathway: one opendnp3 master session per asset."""
