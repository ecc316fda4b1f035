"""The way up: messages, topics, and what to ship next. Pure."""
