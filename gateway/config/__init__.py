"""What the files of a site may say, and every fault with its line. Pure."""
