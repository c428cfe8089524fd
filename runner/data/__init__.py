"""A source → a Dataset."""
