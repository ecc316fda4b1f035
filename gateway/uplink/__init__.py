"""The way up: messages, what to ship next, and the MQTT session that ships it."""
