"""What is shown of entries: a list, the best of each task, the page of one, and two compared."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path

from rich import console, table, text

from foundation import errors, escape, files, trees
from history import Entry, History, ranking, registry, running, schema
from history.view.text import (
    EntryRows,
    bars,
    brief,
    duration,
    fact_list,
    indented,
    local_time,
    measured,
    not_better,
    number,
    pairs,
    ranked_by,
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
# Of these, what a narrow terminal does without, in this order: the id begins with the pipeline.
SPARE = ("pipeline", "task", "search", "trials", "experiment", "created", "name", "tags")
# Of a trial, beside its values.
TRIAL = ("trial_id", "status", "score", "best_epoch", "seconds", "started", "message")
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
    "search.reused",
    "search.seconds",
    "search.ended",
    "search.peak_bytes",
    "best.trial_id",
    "best.score",
)
# of a section: a table, facts by their names, or paragraphs
Content = table.Table | EntryRows | Mapping[str, files.Json] | str

LETTERS = tuple(map(chr, range(ord("A"), 0x1000)))  # of entries that are compared
VERDICTS = {True: "within noise", False: "beyond noise", None: "noise unknown"}


def entry_list(
    entries: Sequence[Entry], columns: Sequence[str] | None = None, wide: bool = False
) -> EntryRows:
    """Return a row per entry with the columns named: some of COLUMNS, or dotted keys of the
    documents. None: COLUMNS, and names and tags where there are some, as far as there is room,
    unless it is to be `wide`.

    Raises InputError for a key that no entry has.
    """
    chosen = columns or [
        *COLUMNS,
        *(key for key in schema.LABELS[:2] if any(e.value(key) for e in entries)),
    ]
    _check(chosen, entries)
    return EntryRows(
        chosen,
        [_row(entry, chosen, ranked_by(entry)[0]) for entry in entries],
        None if wide else () if columns else SPARE,
    )


def overview(
    root: Path, entries: Sequence[Entry], columns: Sequence[str] | None, wide: bool
) -> console.Group:
    """Return the list of entries, if there are some, and below it what runs are at."""
    parts: list[console.RenderableType] = (
        [entry_list(entries, columns, wide), text.Text("")] if entries else []
    )
    rows = [
        (
            *(row.get("pipeline", "-"), row.get("experiment", "-"), row["doing"]),
            f"{row['trials']}/{row['limit'] or '?'}" if "trials" in row else "-",
            f"{number(row.get('best'))} {row.get('objective', '')}",
            row["by"],
        )
        for row in running.running(root)
    ]
    return console.Group(
        *parts,
        *[EntryRows(("running", "experiment", "at", "trials", "best so far", "by"), rows)]
        * bool(rows),
    )


def in_order(entries: Sequence[Entry], column: str, reverse: bool) -> list[Entry]:
    """Return the entries sorted by a column, named as for `entry_list`; those without a value last,
    either way.
    """
    _check([column], entries)
    keyed = [(_sort_key(entry, column), entry) for entry in entries]
    keyed.sort(key=lambda each: each[0], reverse=reverse)
    return [entry for _, entry in sorted(keyed, key=lambda each: not each[0])]


def plain(entries: Sequence[Entry], columns: Sequence[str]) -> list[dict[str, files.Json]]:
    """Return what entries have in columns, named as for `entry_list`, as numbers and texts."""
    _check(columns, entries)
    return [{key: [*_sort_key(e, key), None, None][1] for key in columns} for e in entries]


def trial_list(trials: Sequence[Entry], columns: Sequence[str] | None, wide: bool) -> console.Group:
    """Return a row per trial: its score and the values in which trials differ, or the columns
    named; then the other values, and why trials have failed. Raises as `entry_list` does.
    """
    short = {f"values.{name}": end for name, end in short_names(trials).items()}
    varied = [
        key
        for key in short
        if len(trials) == 1 or len({str(trial.value(key)) for trial in trials}) > 1
    ]
    chosen = columns or ["trial_id", "score", *varied, "best_epoch", "seconds"]
    _check(chosen, trials)
    rows = [
        [brief(trial.value(key, trial.value({"score": "status"}.get(key, key)))) for key in chosen]
        for trial in trials
    ]
    return console.Group(
        EntryRows([short.get(key, key) for key in chosen], rows, None if wide else ()),
        text.Text(),
        _page(
            {
                "The same in all": {
                    short[key]: trials[0].value(key) for key in short if key not in varied
                },
                "Failed": {
                    str(trial.value("trial_id")): str(said).strip().splitlines()[-1]
                    for trial in trials
                    if (said := trial.value("message"))
                },
            }
        ),
    )


def short_names(trials: Sequence[Entry]) -> dict[str, str]:
    """Return the hyperparameters of trials, each with the least of its end that only it has."""
    names = dict.fromkeys(name for trial in trials for name in trial.value("values", {}))
    ends = {
        name: [*accumulate(name.split(".")[::-1], lambda end, word: f"{word}.{end}")]
        for name in names
    }
    many = Counter([*TRIAL, *chain(*ends.values())])
    return {name: next((end for end in ends[name] if many[end] == 1), name) for name in names}


def best_list(best: Mapping[str, tuple[str, list[ranking.Ranked]]], wide: bool) -> console.Group:
    """Return the first of each task's ranked entries, then those tied with it, and its values;
    `best` maps task to (metric, ranked). The table is as wide as `entry_list` makes it.
    """
    ties = {
        ranked[0].entry.id: [place.entry.id for place in ranked[1:] if place.tied]
        for _, ranked in best.values()
    }
    return console.Group(
        EntryRows(
            (*COLUMNS, "best baseline"),
            [
                [*_row(ranked[0].entry, COLUMNS, metric), _baseline(ranked[0].entry, metric)[0]]
                for metric, ranked in best.values()
            ],
            None if wide else SPARE,
        ),
        text.Text(),
        _page(
            {
                "Tied with": {
                    id: tied if len(tied) < 4 else [*tied[:3], f"{len(tied) - 3} more"]
                    for id, tied in ties.items()
                },
                "Best values": {
                    ranked[0].entry.id: ranked[0].entry.value("best.values")
                    for _, ranked in best.values()
                },
            }
        ),
    )


def entry_page(history: History, entry: Entry) -> console.Group:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    simple = entry.value("baselines", {})
    joined = [part for part in ranking.PARTS if entry.value(f"ensemble.{part}")]
    said = str(entry.value("validation.warning", "")), _baseline(entry, ranked_by(entry)[0])[1]
    return _page(
        {
            entry.id: _result(entry),
            "Error": entry.value("error", {}),
            "Warning": "\n".join(filter(None, said)),
            "Best values": entry.value("best.values", {}),
            **_curves(entry),
            "Metrics": EntryRows(
                ("metric", _validation(entry), "test", *(f"{part}, their mean" for part in joined)),
                [
                    (
                        name,
                        *(measured(entry, part, name) for part in ranking.PARTS),
                        *(number(entry.metric(name, "ensemble", part)) for part in joined),
                    )
                    for name in entry.value("validation.metrics", {})
                    | entry.value("test.metrics", {})
                ],
            ),
            "Baselines": EntryRows(
                ("part", "metric", *simple),
                [
                    (
                        part,
                        name,
                        *(number(entry.metric(name, f"baselines.{each}", part)) for each in simple),
                    )
                    for part in ranking.PARTS
                    for name in entry.value(f"{part}.metrics", {})
                    if simple
                ],
            ),
            **_report(history, entry),
            "Search": {key: entry.value(key) for key in SEARCH},
            "Notes": "\n".join(map(str, entry.value("notes", []))),
            "Entry": {key: entry.value(key) for key in IDENTITY},
            "Environment": entry.value("environment", {}),
            "Artefacts": {
                name: f"{file['path']}, {file['bytes']:,} bytes"
                for name, file in entry.value("artefacts", {}).items()
            },
        }
    )


def _result(entry: Entry) -> dict[str, files.Json]:
    """Return what is asked first of an entry: what it came to, and from what."""
    metric, _ = ranked_by(entry)
    found = {
        _validation(entry): measured(entry, "validation", metric),
        "their mean": number(entry.metric(metric, "ensemble")),
        "test": measured(entry, "test", metric),
    }
    best, score = entry.value("best.trial_id"), number(entry.value("best.score"))
    search = {
        f"{score} {entry.value('search.objective.name', '')} in trial {best}": best,
        f"{_cell(entry, 'trials', None)} trials": entry.value("search.trials"),
        _cell(entry, "search", None): entry.value("search.seconds"),
        entry.value("search.tuner", ""): True,
    }
    return {
        "status": _cell(entry, "status", None),
        **{key: f"{value} {metric}" for key, value in found.items() if value != "-"},
        "best baseline": _baseline(entry, metric)[0],
        "search": ", ".join(said for said, is_known in search.items() if said and is_known),
        **{key: entry.value(key) for key in schema.LABELS},
        "created": local_time(entry.created),
    }


def _validation(entry: Entry) -> str:
    kind = "folds" if entry.value("validation.folds") else "repeats"
    return f"validation ({kind}: {entry.repeats})"


def _curves(entry: Entry) -> dict[str, Content]:
    """Return the metrics of the refit whose model is stored, or of the first, over its epochs."""
    which = entry.value("validation.kept", 0)
    try:
        refits = entry.refits()
        told = {
            name: [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
            for name, values in refits[which]["history"].items()
        }
    except (errors.ExperimentError, AttributeError, LookupError, TypeError):
        return {}  # failed, imported or damaged
    return {
        f"Learning curves of refit {which + 1} of {len(refits)}, "
        f"{max(map(len, told.values()), default=0)} epochs": EntryRows(
            ("metric", "first", "", "last"),
            [
                (name, number(values[0]), bars(values), number(values[-1]))
                for name, values in told.items()
                if len(values) > 1
            ],
        )
    }


def comparison_page(
    entries: Sequence[Entry], found: Sequence[Mapping[str, files.Json]]
) -> console.Group:
    """Return what `compare` found of an entry, A, and each of the others, in sections."""
    letters = LETTERS[: len(entries)]
    notes = {key: text for each in found for key, text in each["notes"].items()}
    names = dict.fromkeys(name for each in found for name in each["metrics"]["validation"])
    signs = ": ▲ better and ▼ worse than A, beyond noise" * (len(entries) > 2)
    return _page(
        {
            "Entries": {at: _row(e, COLUMNS[:6]) for at, e in zip(letters, entries, strict=True)},
            "Metrics": notes.get("metrics", ""),
            **{
                f"{part.capitalize()}{signs}": _compared(
                    entries, [each["metrics"][part] for each in found], part
                )
                for part in ranking.PARTS
            },
            "Mean of the refits": _known(
                ("metric", *letters),
                [
                    (f"{part} {name}", *(number(e.metric(name, "ensemble", part)) for e in entries))
                    for part in ranking.PARTS
                    for name in names
                ],
            ),
            "Best baselines": _known(
                ("validation", *letters),
                [(name, *(_baseline(e, name)[0] for e in entries)) for name in names],
            ),
            **{
                section.capitalize(): _differing(
                    letters, [each["differs"][section] for each in found]
                )
                or notes.get(section, "nothing differs")
                for section in found[0]["differs"]
            },
        }
    )


def _differing(
    letters: Sequence[str], every: Sequence[Mapping[str, files.Json]]
) -> table.Table | None:
    """Return the keys in which entries differ, with the values of each; None without one."""
    first = {key: both[0] for each in reversed(every) for key, both in each.items()}
    rows = [
        (key, pairs(a), *(pairs(each.get(key, (a, a))[1]) for each in every))
        for key, a in first.items()
    ]
    return text_table(("key", *letters), rows) if rows else None


def _known(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> EntryRows:
    """Return the rows that have anything but their name."""
    return EntryRows(columns, [row for row in rows if {*row[1:]} != {"-"}])


def _page(sections: Mapping[str, Content]) -> console.Group:
    """Return the sections that have a content, each under its title."""
    parts: list[console.RenderableType] = []
    for title, content in sections.items():
        body = fact_list(content) if isinstance(content, Mapping) else content
        if body and not (isinstance(body, table.Table | EntryRows) and not body.rows):
            parts += [
                text.Text(escape.printable(title), style="bold"),
                indented(body) if isinstance(body, str) else body,
                text.Text(),
            ]
    return console.Group(*parts)


def _check(columns: Sequence[str], entries: Sequence[Entry]) -> None:
    is_trial = bool(entries) and "trial_id" in entries[0].document
    noun, known = ("trial", TRIAL) if is_trial else ("entry", (*COLUMNS, *schema.LABELS))
    for column in columns:
        if column not in known and all(entry.value(column) is None for entry in entries):
            keys = trees.columns_of([trees.flat(entry.document) for entry in entries[-100:]])
            raise errors.InputError(
                f"no {noun} has a column {column!r}{errors.suggest(column, [*known, *keys])} "
                f"(known: {', '.join(known)}, and "
                + ("values)" if is_trial else "the dotted keys of entries, such as search.tuner)")
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
            return duration(seconds)
    found = None if column in SORTED_BY else entry.value(column)
    return number(found) if isinstance(found, float) else pairs(found)


def _sort_key(entry: Entry, column: str) -> tuple[files.Json, ...]:
    """Return what numbers and then texts sort by; nothing for what is missing."""
    value = (
        entry.metric(ranked_by(entry)[0])
        if column == "metric"
        else entry.value(SORTED_BY.get(column, column))
    )
    if value is None:
        return ()
    return (0, value) if isinstance(value, int | float) else (1, pairs(value))


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
        report.title.capitalize(): EntryRows(
            report.columns, [[*map(rounded, row)] for row in report.rows]
        )
    }


def _compared(
    entries: Sequence[Entry], every: Sequence[Mapping[str, files.Json]], part: str
) -> EntryRows:
    """Return the metrics that `compare` has of a part: of two entries a row each, with the
    difference; of several a column each.
    """
    names = dict.fromkeys(name for each in every for name in each)
    if len(entries) > 2:
        signs = {("a", False): " ▼", ("b", False): " ▲"}
        return EntryRows(
            ("", *names),
            [
                (
                    letter,
                    *(
                        measured(entry, part, name)
                        + signs.get((told["better"], told["within_noise"]), "")
                        for name in names
                        for told in [facts.get(name, dict.fromkeys(("better", "within_noise")))]
                    ),
                )
                for letter, entry, facts in zip(LETTERS, entries, [{}, *every], strict=False)
            ]
            * bool(names),
        )
    return EntryRows(
        ("metric", "A", "B", "verdict", "B - A ± error"),
        [
            (name, *(measured(e, part, name) for e in entries), *_verdict(every[0][name]))
            for name in names
        ],
    )


def _verdict(facts: Mapping[str, files.Json]) -> tuple[str, str]:
    """Return what `compare` says of a metric in words, and the difference with its error."""
    if (difference := facts["difference"]) is None:
        return "-", "-"
    better = f"{facts['better'].upper()} better, " if facts["better"] else ""
    return (
        better + VERDICTS[facts["within_noise"]],
        f"{'+' if difference > 0 else ''}{number(difference)}"
        + (f" ± {number(facts['error'])}" if facts["error"] is not None else ""),
    )
