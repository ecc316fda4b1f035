"""Idles the battery when the cloud is lost. Pure; ``machine`` holds the table of transitions."""
