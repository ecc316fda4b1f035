"""What systemd and the kernel give us: the journal, notifications, threads."""
