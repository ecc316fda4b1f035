"""Which one thing to mend first: every check of a running site, in the order in which they hang."""
