"""When must it be zero? Pure; ``machine`` holds the table of transitions."""
