"""What the other daemons ask."""
