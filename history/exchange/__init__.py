"""What comes into a history from elsewhere, and what leaves it."""
