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
from history import Entry, History, manager, ranking, registry, schema
from history.report import explore, figures, study
from history.view import text

NEWEST = 50  # entries that a notebook shows of many
PACKAGE = Path(__file__).parent


def write(history: History, entries: Sequence[Entry], folder: Path) -> None:
    """Write an index of the entries and a page of each, or bring up to date what is there: a page
    is written again only where its entry, or this code, is another than then.

    Raises InputError for a folder that holds something else, OSError.
    """
    if (
        folder.is_dir() and not (folder / "report.css").exists() and any(folder.iterdir())
    ) or folder.resolve().is_relative_to(history.root / "entries"):
        raise errors.InputError(
            f"{folder} contains something other than a report: choose a new folder"
        )
    files.make_folder(folder)
    for path in [
        *sorted(PACKAGE.glob("static/*"), key=lambda path: path.name != "report.css"),  # the mark
        *explore.library(),
    ]:
        files.write_atomic(folder / path.name, path.read_bytes())
    code = [
        files.sha256(path) for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.html")])
    ]
    for entry in entries:
        _write_entry(entry, folder / entry.id / "index.html", code)
    files.write_atomic(folder / "index.html", index_page(entries).encode())


def _write_entry(entry: Entry, page: Path, code: Sequence[str]) -> None:
    """Write the page of an entry, and that of its plots, unless they are up to date."""
    made_of = [code, find_spec("optuna") is None, explore.library(), entry.document]
    state = hashlib.sha256(repr(made_of).encode()).hexdigest()
    if page.is_file() and state.encode() in page.read_bytes():
        return
    files.make_folder(page.parent)
    plots: dict[str, str] = {}
    with suppress(Exception):  # what is wrong with its files, its page says
        plots = explore.plots(entry) if explore.library() else {}
    if plots:
        explored = _page("explore.html", entry=entry, plots=plots, top="../", state="")
        files.write_atomic(page.with_name("explore.html"), explored.encode())
    files.write_atomic(page, entry_page(entry, state, bool(plots)).encode())


def entry_page(entry: Entry, state: str = "", is_explored: bool = False) -> str:
    """Return the page of an entry. What its files do not hold is left out; what cannot be read in
    them is said. It leads to the plots of its trials if it `is_explored`.
    """
    made, problems = dict[str, Any](), list[str]()
    for make in PIECES:
        try:
            made[make.__name__] = make(entry)
        except (errors.InputError, ImportError):  # no such file, an unknown task, no Optuna
            pass
        except Exception as error:  # files from elsewhere may hold anything
            problems.append(f"{make.__name__} cannot be shown: {error}")
    given = {"state": state, "top": "../", "problems": problems, "is_explored": is_explored}
    try:
        return _page("entry.html", entry=entry, **given, **made)
    except Exception as error:  # so may its document
        problems.append(f"Most of it cannot be shown: {type(error).__name__}: {error}")
        return _page(
            "entry.html",
            entry=Entry(
                {key: entry.value(key) for key in (*schema.NAMES, "id", "created", "status")},
                entry.root,
            ),
            judged={},
            **given,
        )


def index_page(entries: Sequence[Entry]) -> str:
    """Return the page that leads to those of the entries: for each experiment and task they are
    ranked, and shown in their order with the best so far.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.experiment, entry.task), []).append(entry)
    ranked = [_ranked(found) for found in reversed(groups.values())]
    return _page("index.html", entries=entries, groups=ranked, top="", state="")


def _ranked(found: list[Entry]) -> dict[str, Any]:
    """Return what the index says of the entries of one experiment and task."""
    by = judged(found[-1])
    metric, direction = by["metric"], by["direction"]
    means = [ranking.measurement(entry, "validation", metric).mean for entry in found]
    given = [str(each) for entry in found for each in entry.value("overrides", [])]
    return {
        **by,
        "places": ranking.rank(found, metric, direction),
        "chart": _scores(f"{metric} of entries", means, direction, "entry"),
        "common": {each for each in given if given.count(each) == len(found)},
    }


def notebook(found: Sequence[Entry], *, alone: bool = False) -> str:
    """Return what an entry shows of itself in a notebook, or several: the newest of them."""
    pictures = []
    for draw in (curves, scores) if alone else ():
        with suppress(Exception):  # files from elsewhere may hold anything
            pictures.append(draw(found[0]))
    return _page(
        "notebook.html",
        alone=alone,
        entries=[(entry, judged(entry)) for entry in found[: -NEWEST - 1 : -1]],
        total=len(found),
        pictures=[*filter(None, pictures)],
    )


def judged(entry: Entry) -> dict[str, Any]:
    """Return the metric that entries like this one are ranked by, its direction, the best baseline
    by it, and what is to be said of that.
    """
    metric, direction = registry.ranked_by(entry)
    return {
        "metric": metric,
        "direction": direction,
        "baseline": ranking.baseline(entry, metric, direction),
        "doubt": text.not_better(entry, metric, direction),
    }


def curves(entry: Entry) -> str | None:
    """Return the loss and the objective of all refits by epoch."""
    refits, objective = entry.refits(), str(entry.value("search.objective.name", ""))
    told = [
        name
        for name in dict.fromkeys(("loss", objective.removeprefix("val_")))
        if any(name in refit["history"] for refit in refits)
    ]
    given = "Learning curves", figures.curves, refits, told
    return figures.inline(*given, panels=len(told)) if told else None


def held(entry: Entry) -> list[str]:
    """Return pictures of what was predicted of the rows that are held out."""
    known, is_series = entry.value("artefacts", {}), entry.value("data.source.kind") == "windows"
    of_parts = {
        part: np.load(entry.verified(name))
        for part, name in (("validation", "predictions"), ("test", "test_predictions"))
        if name in known
    }
    return [
        figures.held(
            *(figures.inline, name, part, rows["truth"], rows["predicted"]),
            entry.value("data.classes", []),
        )
        for name in registry.manager_class(entry.manager).figures
        for part, rows in of_parts.items()
        if is_series or name != "stretch"
    ]


def report(entry: Entry) -> manager.Report:
    """Return what its history manager reports of an entry."""
    return registry.manager(entry.manager, entry.root).report(entry)


def scores(entry: Entry) -> str | None:
    """Return the scores of its trials, with the best so far."""
    name, direction = (entry.value(f"search.objective.{key}") for key in ("name", "direction"))
    return _scores(f"{name} of trials", [t.score for t in study.trials(entry)], direction, "trial")


def _scores(title: str, found: Sequence[float | None], direction: str, of: str) -> str | None:
    given = title, figures.scores, np.array(found, float), direction, of  # None becomes NaN
    return figures.inline(*given) if len(found) - found.count(None) > 2 else None


def config(entry: Entry) -> str:
    """Return the stored config, as it is."""
    return entry.verified("config").read_text(encoding="utf-8")


# What a page is made of, by the names of these functions.
PIECES: tuple[Callable[[Entry], Any], ...] = (
    *(judged, curves, held, report, scores, config),
    *(study.space, study.trials, study.importance),
)
PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("history.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters["rounded"] = text.rounded
PAGES.globals |= {
    **{each.__name__: each for each in (text.local_time, text.measured, text.number, text.pairs)},
    "PARTS": ranking.PARTS,
    "baseline": ranking.baseline,
    "can_explore": explore.library,
    "log": math.log,
    "mean": text.shown,
    "shown": text.brief,
}


def _page(template: str, **given: Any) -> str:
    return PAGES.get_template(template).render(given)
