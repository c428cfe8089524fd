"""What experiment runs leave behind: entries, each a document and a folder of artefacts.

`open(root)` gives the history under a root; `python -m history` shows it. Start reading in `entry`.
"""

from importlib import import_module

from history import errors
from history.catalogue import History
from history.entry import Entry

__all__ = ["Entry", "History", "errors", "open"]

open = History  # as in history.open("results")


def _entry_html(entry: Entry) -> str:
    return str(import_module(PAGES).notebook_entry(entry))


def _history_html(history: History) -> str:
    return str(import_module(PAGES).notebook_list(history.entries()))


# A notebook shows an entry as a page does. Pages know entries, but entries know no pages: these are
# imported by name, and only where they are shown.
PAGES = "history.report.pages"
Entry._repr_html_ = _entry_html
History._repr_html_ = _history_html
