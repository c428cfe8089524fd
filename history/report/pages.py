"""The pages of a report: one of each entry, and an index of them."""

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from foundation import errors, files
from history import Entry, History, ranking, registry, schema
from history.report import explore, figures, study
from history.view import pages, text
from history.view.page import Figure, Section

NEWEST = 50  # entries that a notebook shows of many
PACKAGE = Path(__file__).parent
MARK = "report.css"  # which every report has


def write(history: History, entries: Sequence[Entry], folder: Path) -> None:
    """Write an index of the entries and a page for each, or bring a report up to date: a page is
    written again only if its entry or this code has changed.

    Raises InputError for a folder that holds something else, and OSError.
    """
    is_taken = folder.is_dir() and not (folder / MARK).exists() and any(folder.iterdir())
    if is_taken or folder.resolve().is_relative_to(history.root / "entries"):
        raise errors.InputError(
            f"{folder} contains something other than a report: choose a new folder"
        )
    files.make_folder(folder)
    static = PACKAGE / "static"
    for path in [static / MARK, *static.iterdir(), *explore.library()]:
        files.write_atomic(folder / path.name, path.read_bytes())
    code = sorted([*PACKAGE.glob("*.*"), *PACKAGE.glob("templates/*")])
    hashes = [files.sha256(path) for path in code]
    for entry in entries:
        _write_entry(entry, folder / entry.id / "index.html", hashes)
    files.write_atomic(folder / "index.html", index_page(entries).encode())


def _write_entry(entry: Entry, path: Path, code: Sequence[str]) -> None:
    """Write the page of an entry and the page of its plots, unless they are up to date.

    Arguments: `code`, hashes of the files that pages are made with.
    """
    library = explore.library()
    content = [code, find_spec("optuna") is None, library, entry.document]
    state = hashlib.sha256(repr(content).encode()).hexdigest()
    if path.is_file() and state.encode() in path.read_bytes():
        return
    files.make_folder(path.parent)
    plots: dict[str, str] = {}
    if library:
        with suppress(Exception):  # the entry's page says what is wrong with its files
            plots = explore.plots(entry)
    if plots:
        explored = _render("explore.html", entry=entry, plots=plots, top="../")
        files.write_atomic(path.with_name("explore.html"), explored.encode())
    files.write_atomic(path, entry_page(entry, state, bool(plots)).encode())


def entry_page(entry: Entry, state: str = "", is_explored: bool = False) -> str:
    """Return the page of an entry. What the entry lacks is left out; what cannot be read of its
    files is reported on the page.

    Arguments: `state`, a hash of all that the page is made of; `is_explored`, whether it links to a
    page of plots.
    """
    pieces: dict[str, Any] = {}
    problems: list[str] = []
    for name, read in PIECES.items():
        try:
            pieces[name] = read(entry)
        except (errors.InputError, ImportError):  # no such file, an unknown task, no Optuna
            pass
        except Exception as error:  # files from elsewhere may hold anything
            problems.append(f"{name} cannot be shown: {error}")
    page = {"state": state, "top": "../", "problems": problems, "is_explored": is_explored}
    try:
        return _render("entry.html", entry=entry, **page, **pieces)
    except Exception as error:  # and so may its document
        problems.append(f"Most of it cannot be shown: {type(error).__name__}: {error}")
    names = (*schema.NAMES, "id", "created", "status")
    readable = Entry({name: entry.document.get(name) for name in names}, entry.root)
    return _render("entry.html", entry=readable, **page)


def index_page(entries: Sequence[Entry]) -> str:
    """Return the page that links to those of the entries. The entries of each experiment and task
    are ranked, and a chart shows their scores in order with the best so far.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.experiment, entry.task), []).append(entry)
    ranked = [_ranked(group) for group in reversed(groups.values())]
    return _render("index.html", entries=entries, groups=ranked)


def _ranked(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the index shows of the entries of one experiment and task."""
    metric, direction = registry.ranked_by(entries[-1])
    means = [ranking.measurement(entry, "validation", metric).mean for entry in entries]
    overrides = [{str(override) for override in entry.value("overrides", [])} for entry in entries]
    return {
        "metric": metric,
        "direction": direction,
        "places": ranking.rank(entries, metric, direction),
        "chart": _score_chart(f"{metric} of entries", means, direction, "entry"),
        "common": set.intersection(*overrides),
    }


def notebook_entry(entry: Entry) -> str:
    """Return an entry as a notebook shows it."""
    pictures = []
    for draw in (curves, scores):
        with suppress(Exception):  # files from elsewhere may hold anything
            picture = draw(entry)
            if picture:
                pictures.append(picture)
    return _render("notebook_entry.html", entry=entry, pictures=pictures)


def notebook_list(entries: Sequence[Entry]) -> str:
    """Return a history as a notebook shows it: its newest entries."""
    newest = entries[: -NEWEST - 1 : -1]
    return _render("notebook_list.html", entries=newest, total=len(entries))


def curves(entry: Entry) -> Figure | None:
    """Return a picture of the loss and the objective of all refits by epoch."""
    refits = entry.refits()
    names = []
    for name in dict.fromkeys(("loss", entry.search.objective.name.removeprefix("val_"))):
        if any(name in refit["history"] for refit in refits):
            names.append(name)
    if not names:
        return None
    return figures.drawn("Learning curves", figures.curves, refits, names, panels=len(names))


def held(entry: Entry) -> list[Figure]:
    """Return pictures of the predictions on the held-out rows."""
    predictions = {}
    for part, name in (("validation", "predictions"), ("test", "test_predictions")):
        if name in entry.artefacts:
            predictions[part] = np.load(entry.verified(name))
    pictures = []
    for name in registry.manager_class(entry.manager).figures:
        if name == "stretch" and entry.data.source.get("kind") != "windows":
            continue
        for part, rows in predictions.items():
            truth, predicted = rows["truth"], rows["predicted"]
            pictures.append(figures.held(name, part, truth, predicted, entry.data.classes))
    return pictures


def report(entry: Entry) -> Section:
    """Return the report of the history manager that stored the entry."""
    return pages.report(History(entry.root), entry)


def scores(entry: Entry) -> Figure | None:
    """Return a picture of the scores of the trials, with the best so far."""
    objective = entry.search.objective
    values = [trial.score for trial in entry.trial_records()]
    return _score_chart(f"{objective.name} of trials", values, objective.direction, "trial")


def _score_chart(
    title: str, values: Sequence[float | None], direction: str, unit: str
) -> Figure | None:
    numbers = np.array(values, float)  # None becomes NaN
    if np.isfinite(numbers).sum() < 3:
        return None
    return figures.drawn(title, figures.scores, numbers, direction, unit)


def config(entry: Entry) -> str:
    """Return the stored config, as it is."""
    return entry.verified("config").read_text(encoding="utf-8")


# The parts of a page, by the names that its template has for them.
PIECES: dict[str, Callable[[Entry], Any]] = {
    "curves": curves,
    "held": held,
    "report": report,
    "scores": scores,
    "config": config,
    "space": study.space,
    "trials": Entry.trial_records,
    "importance": study.importance,
}
PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("history.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters["inline"] = figures.inline
PAGES.globals |= {
    "can_explore": explore.library,
    "log": math.log,
    "ranking": ranking,
    "registry": registry,
    "text": text,
}


def _render(template: str, **content: Any) -> str:
    return PAGES.get_template(template).render(content)
