"""The pages of `python -m history`."""
