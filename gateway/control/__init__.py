"""Who may move power, how much, and when it must stop: a room per question. Pure."""
