"""The broker's other end; the daemon never imports it."""
