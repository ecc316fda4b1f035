"""Rules that, taken out one by one, must make a test fail: ``python -m tests.mutants``."""
