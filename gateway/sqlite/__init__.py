"""One SQLite file with one writer, whatever is in it: a kit."""
