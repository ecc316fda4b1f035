"""What the gateway says of itself: birth, summary, health, figures. Pure."""
