"""What is shown of entries: a list, the best of each task, the page of one, and two compared."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from history import Entry, History, errors, escape, files, ranking, registry, trees
from history.view.text import (
    EntryRows,
    fact_list,
    indented,
    local_time,
    measured,
    not_better,
    number,
    pairs,
    rounded,
    text_table,
)

COLUMNS = (
    "id",
    "created",
    "experiment",
    "pipeline",
    "task",
    "status",
    "metric",
    "trials",
    "search",
)
SORTED_BY = {"trials": "search.trials.completed", "search": "search.seconds"}
IDENTITY = (
    "id",
    "created",
    "experiment",
    "run_id",
    "pipeline",
    "task",
    "manager",
    "status",
    "seed",
    "fingerprint",
    "overrides",
    "origin",
)
SEARCH = (
    "search.tuner",
    "search.objective",
    "search.oracle",
    "search.trials",
    "search.seconds",
    "search.ended",
    "search.peak_bytes",
    "best.trial_id",
    "best.score",
)
# of a section: a table, facts by their names, or paragraphs
Content = Table | Mapping[str, files.Json] | str

VERDICTS = {True: "within noise", False: "beyond noise", None: "noise unknown"}


def entry_list(entries: Sequence[Entry], columns: Sequence[str]) -> EntryRows:
    """Return a row per entry with the columns named: some of COLUMNS, or dotted keys of the
    documents.

    Raises InputError for a key that no entry has.
    """
    _check(columns, entries)
    return EntryRows(columns, [_row(entry, columns, _shown_metric(entry)) for entry in entries])


def in_order(entries: Sequence[Entry], column: str, reverse: bool) -> list[Entry]:
    """Return the entries sorted by a column, named as for `entry_list`; those without a value last,
    either way.
    """
    _check([column], entries)
    keys = {entry.id: _sort_key(entry, column) for entry in entries}
    return sorted(
        sorted(entries, key=lambda entry: keys[entry.id], reverse=reverse),
        key=lambda entry: not keys[entry.id],
    )


def best_list(best: Mapping[str, tuple[str, list[ranking.Ranked]]]) -> Group:
    """Return the first of each task's ranked entries, then their values; `best` maps task to
    (metric, ranked).
    """
    rows, values = [], {}
    for metric, ranked in best.values():
        entry = ranked[0].entry
        tied = [place.entry.id for place in ranked[1:] if place.tied]
        shown = tied if len(tied) < 4 else [*tied[:3], f"{len(tied) - 3} more"]
        rows.append(
            [*_row(entry, COLUMNS, metric), *_baseline(entry, metric)[:1], ", ".join(shown) or "-"]
        )
        values[entry.id] = entry.value("best.values")
    return Group(
        EntryRows((*COLUMNS, "best baseline", "tied with"), rows),
        Text(),
        _page({"Best values": values}),
    )


def entry_page(history: History, entry: Entry) -> Group:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    simple = entry.value("baselines", {})
    joined = [part for part in ranking.PARTS if entry.value(f"ensemble.{part}")]
    said = str(entry.value("validation.warning", "")), _baseline(entry, _shown_metric(entry))[1]
    return _page(
        {
            "Entry": {key: entry.value(key) for key in IDENTITY}
            | {"created": local_time(entry.created)},
            "Error": entry.value("error", {}),
            "Notes": "\n".join(map(str, entry.value("notes", []))),
            "Warning": "\n".join(filter(None, said)),
            "Search": {key: entry.value(key) for key in SEARCH},
            "Best values": entry.value("best.values", {}),
            "Metrics": text_table(
                (
                    "metric",
                    f"validation ({'folds' if entry.value('validation.folds') else 'repeats'}: "
                    f"{entry.repeats})",
                    "test",
                    *(f"{part}, their mean" for part in joined),
                ),
                (
                    (
                        name,
                        *(measured(entry, part, name) for part in ranking.PARTS),
                        *(number(entry.metric(name, "ensemble", part)) for part in joined),
                    )
                    for name in entry.value("validation.metrics", {})
                    | entry.value("test.metrics", {})
                ),
            ),
            "Baselines": text_table(
                ("part", "metric", *simple),
                (
                    (
                        part,
                        name,
                        *(number(entry.metric(name, f"baselines.{each}", part)) for each in simple),
                    )
                    for part in ranking.PARTS
                    for name in entry.value(f"{part}.metrics", {})
                    if simple
                ),
            ),
            **_report(history, entry),
            "Environment": entry.value("environment", {}),
            "Artefacts": {
                name: f"{file['path']}, {file['bytes']:,} bytes"
                for name, file in entry.value("artefacts", {}).items()
            },
        }
    )


def comparison_page(one: Entry, other: Entry, found: Mapping[str, files.Json]) -> Group:
    """Return what `compare` found of two entries, in sections."""
    notes = found["notes"]
    sections: dict[str, Content] = {
        "Entries": {"A": _row(one, COLUMNS[:6]), "B": _row(other, COLUMNS[:6])},
        "Metrics": notes.get("metrics", ""),
    }
    for part, metrics in found["metrics"].items():
        sections[part.capitalize()] = text_table(
            ("metric", "A", "B", "B - A ± error", "verdict"),
            [
                (name, measured(one, part, name), measured(other, part, name), *_verdict(facts))
                for name, facts in metrics.items()
            ],
        )
    sections["Mean of the refits"] = text_table(
        ("metric", "A", "B"),
        [
            (f"{part} {name}", *cells)
            for part, metrics in found["metrics"].items()
            for name in metrics
            if {*(cells := [number(e.metric(name, "ensemble", part)) for e in (one, other)])}
            != {"-"}
        ],
    )
    sections["Best baselines"] = text_table(
        ("validation", "A", "B"),
        [
            (name, *cells)
            for name in found["metrics"]["validation"]
            if {*(cells := [_baseline(each, name)[0] for each in (one, other)])} != {"-"}
        ],
    )
    for section, keys in found["differs"].items():
        sections[section.capitalize()] = (
            text_table(
                ("key", "A", "B"), [(key, pairs(a), pairs(b)) for key, (a, b) in keys.items()]
            )
            if keys
            else notes.get(section, "nothing differs")
        )
    return _page(sections)


def _page(sections: Mapping[str, Content]) -> Group:
    """Return the sections that have a content, each under its title."""
    parts: list[RenderableType] = []
    for title, content in sections.items():
        body = fact_list(content) if isinstance(content, Mapping) else content
        if body and not (isinstance(body, Table) and not body.rows):
            parts += [
                Text(escape.printable(title), style="bold"),
                indented(body) if isinstance(body, str) else body,
                Text(),
            ]
    return Group(*parts)


def _check(columns: Sequence[str], entries: Sequence[Entry]) -> None:
    for column in columns:
        if column not in COLUMNS and all(entry.value(column) is None for entry in entries):
            keys = trees.columns_of([trees.flat(entry.document) for entry in entries[-100:]])
            raise errors.InputError(
                f"no entry has a column {column!r}{errors.suggest(column, [*COLUMNS, *keys])} "
                f"(known: {', '.join(COLUMNS)}, and the dotted keys of entries, such as "
                f"search.tuner)"
            )


def _row(entry: Entry, columns: Sequence[str], metric: str | None = None) -> list[str]:
    return [_cell(entry, column, metric) for column in columns]


def _cell(entry: Entry, column: str, metric: str | None) -> str:
    match column:
        case "created":
            return local_time(entry.created)
        case "status":
            return f"{entry.status} (imported)" if entry.imported else entry.status
        case "metric":
            value = measured(entry, "validation", metric or "")
            return value if value == "-" else f"{value} {metric}"
        case "trials" if trials := entry.value("search.trials"):
            return f"{trials.get('completed', '?')}/{trials.get('total', '?')}"
        case "search" if isinstance(seconds := entry.value("search.seconds"), int | float):
            return f"{seconds:.1f} s"
    found = None if column in SORTED_BY else entry.value(column)
    return number(found) if isinstance(found, float) else pairs(found)


def _sort_key(entry: Entry, column: str) -> tuple[files.Json, ...]:
    """Return what numbers and then texts sort by; nothing for what is missing."""
    value = (
        entry.metric(_shown_metric(entry) or "")
        if column == "metric"
        else entry.value(SORTED_BY.get(column, column))
    )
    if value is None:
        return ()
    return (0, value) if isinstance(value, int | float) else (1, pairs(value))


def _shown_metric(entry: Entry) -> str | None:
    """Return the name of the metric to show of an entry: its manager's or, where it lacks that or
    the manager is not installed, the first it has.
    """
    metrics = entry.value("validation.metrics", {})
    with suppress(errors.RegistryError):
        if (own := registry.manager_class(entry.manager or entry.task).ranking) in metrics:
            return own
    return next(iter(metrics), None)


def _baseline(entry: Entry, metric: str | None) -> tuple[str, str]:
    """Return the best baseline of an entry by a metric, and what is to be said of it."""
    with suppress(errors.RegistryError, KeyError):
        direction = registry.manager_class(entry.manager or entry.task).metrics[metric or ""]
        if best := ranking.baseline(entry, metric or "", direction):
            return f"{number(best[1])} {best[0]}", not_better(entry, metric or "", direction)
    return "-", ""


def _report(history: History, entry: Entry) -> dict[str, Content]:
    if entry.status == "failed" or not entry.value("validation"):
        return {}
    try:
        report = history.manager_of(entry).report(entry)
    except errors.ExperimentError as error:
        return {"Report": f"not available: {error}"}
    return {
        report.title.capitalize(): text_table(
            report.columns, ([*map(rounded, row)] for row in report.rows)
        )
    }


def _verdict(facts: Mapping[str, files.Json]) -> tuple[str, str]:
    """Return what `compare` says of a metric: the difference with its error, and in words."""
    if (difference := facts["difference"]) is None:
        return "-", "-"
    error = "" if facts["error"] is None else f" ± {number(facts['error'])}"
    better = f"{facts['better'].upper()} better, " if facts["better"] else ""
    return (
        f"{'+' if difference > 0 else ''}{number(difference)}{error}",
        f"{better}{VERDICTS[facts['within_noise']]}",
    )
