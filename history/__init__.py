"""What experiment runs leave behind: entries, each a document and a folder of artefacts.

`open(root)` gives the history under a root; `python -m history` shows it. Start reading in `entry`.
"""

from history import errors
from history.catalogue import History
from history.entry import Entry

__all__ = ["Entry", "History", "errors", "open"]

open = History  # as in history.open("results")


def _entry_html(entry: Entry) -> str:
    from history.report import pages  # imports packages that only a notebook needs

    return pages.notebook_entry(entry)


def _history_html(history: History) -> str:
    from history.report import pages

    return pages.notebook_list(history.entries())


Entry._repr_html_ = _entry_html
History._repr_html_ = _history_html
