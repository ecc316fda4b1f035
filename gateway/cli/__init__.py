"""What a person types on the box: one module a command."""
