"""The story of a run: plan, search, refit, store, clean up."""
