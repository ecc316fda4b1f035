"""The part of systemd-python that we use; the package ships no types."""
