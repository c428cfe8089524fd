"""A model → fitted and evaluated."""
