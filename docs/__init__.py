"""The pages, and what writes them."""
