"""Certificates, keys and contexts: a kit."""
