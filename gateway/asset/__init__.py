"""One battery as the core follows it: monitor, fingerprint, description. Pure."""
