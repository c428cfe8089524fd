"""A source → a Dataset."""

import logging

log = logging.getLogger("runner")
