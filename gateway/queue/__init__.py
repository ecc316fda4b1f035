"""The durable store-and-forward queue (SQLite through SQLAlchemy Core)."""
