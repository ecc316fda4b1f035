"""The demonstration: throwaway keys, a real broker, a cloud stand-in. Tests share the first two."""
