"""What experiment runs leave behind: entries, each a document and a folder of artefacts.

`open(root)` gives the history under a root; `python -m history` shows it. Start reading in `entry`.
"""

from history import errors
from history.catalogue import History
from history.entry import Entry

__all__ = ["Entry", "History", "errors", "open"]

open = History  # as in history.open("results")
