"""What a support engineer needs of a site in one file, and no secret."""
