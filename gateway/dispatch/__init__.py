"""Signed commands: read, verified, approved, limited, carried out. Pure."""
