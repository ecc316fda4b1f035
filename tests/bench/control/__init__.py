"""``make bench-control``: how long a setpoint of ours outlives its cause. See README.md here."""
