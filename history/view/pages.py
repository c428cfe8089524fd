"""What is shown of entries: a list, the best of each task, the page of one, and two compared."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path

from foundation import errors, files, trees
from history import Entry, History, ranking, registry, running, schema
from history.view.page import Facts, Page, Section, Table, Text
from history.view.text import (
    bars,
    brief,
    duration,
    local_time,
    measured,
    not_better,
    number,
    pairs,
    ranked_by,
    rounded,
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
LETTERS = tuple(map(chr, range(ord("A"), 0x1000)))  # of entries that are compared
VERDICTS = {True: "within noise", False: "beyond noise", None: "noise unknown"}


def overview(
    root: Path, entries: Sequence[Entry], columns: Sequence[str] | None, wide: bool
) -> Page:
    """Return the list of entries, if there are some, and below it what runs are at."""
    sections = []
    if entries:
        sections.append(Section("", [entry_list(entries, columns, wide)]))
    sections.append(Section("", [_running(root)]))
    return Page(sections)


def entry_list(
    entries: Sequence[Entry], columns: Sequence[str] | None = None, wide: bool = False
) -> Table:
    """Return a row per entry with the columns named: some of COLUMNS, or dotted keys of the
    documents. None: COLUMNS, and names and tags where there are some, as far as there is room,
    unless it is to be `wide`.

    Raises InputError for a key that no entry has.
    """
    chosen = list(columns or COLUMNS)
    if not columns:
        labels = schema.LABELS[:2]
        chosen += [key for key in labels if any(entry.value(key) for entry in entries)]
    _check(chosen, entries)
    rows = [_row(entry, chosen, ranked_by(entry)[0]) for entry in entries]
    return Table(chosen, rows, _spare(wide, () if columns else SPARE))


def _spare(wide: bool, spare: Sequence[str]) -> Sequence[str] | None:
    return None if wide else spare


def _running(root: Path) -> Table:
    rows = []
    for row in running.running(root):
        trials = "-"
        if "trials" in row:
            trials = f"{row['trials']}/{row['limit'] or '?'}"
        best = f"{number(row.get('best'))} {row.get('objective', '')}"
        pipeline = row.get("pipeline", "-")
        experiment = row.get("experiment", "-")
        rows.append([pipeline, experiment, row["doing"], trials, best, row["by"]])
    return Table(("running", "experiment", "at", "trials", "best so far", "by"), rows)


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


def trial_list(trials: Sequence[Entry], columns: Sequence[str] | None, wide: bool) -> Page:
    """Return a row per trial: its score and the values in which trials differ, or the columns
    named; then the other values, and why trials have failed. Raises as `entry_list` does.
    """
    short = {f"values.{name}": end for name, end in short_names(trials).items()}
    varied = [key for key in short if _varies(trials, key)]
    chosen = columns or ["trial_id", "score", *varied, "best_epoch", "seconds"]
    _check(chosen, trials)
    names = [short.get(key, key) for key in chosen]
    rows = [[_trial_cell(trial, key) for key in chosen] for trial in trials]
    common = {short[key]: trials[0].value(key) for key in short if key not in varied}
    sections = [
        Section("", [Table(names, rows, _spare(wide, ()))]),
        Section("The same in all", [Facts(common)]),
        _failures(trials),
    ]
    return Page(sections)


def _varies(trials: Sequence[Entry], key: str) -> bool:
    values = {str(trial.value(key)) for trial in trials}
    return len(trials) == 1 or len(values) > 1


def _trial_cell(trial: Entry, key: str) -> str:
    value = trial.value(key)
    if value is None and key == "score":
        value = trial.value("status")
    return brief(value)


def _failures(trials: Sequence[Entry]) -> Section:
    """Return the last line of what each failed trial says."""
    failures = {}
    for trial in trials:
        message = trial.value("message")
        if message:
            failures[str(trial.value("trial_id"))] = str(message).strip().splitlines()[-1]
    return Section("Failed", [Facts(failures)])


def short_names(trials: Sequence[Entry]) -> dict[str, str]:
    """Return the hyperparameters of trials, each with the least of its end that only it has."""
    names = dict.fromkeys(name for trial in trials for name in trial.value("values", {}))
    ends = {
        name: [*accumulate(name.split(".")[::-1], lambda end, word: f"{word}.{end}")]
        for name in names
    }
    many = Counter([*TRIAL, *chain(*ends.values())])
    return {name: next((end for end in ends[name] if many[end] == 1), name) for name in names}


def best_list(best: Mapping[str, tuple[str, list[ranking.Ranked]]], wide: bool) -> Page:
    """Return the first of each task's ranked entries, then those tied with it, and its values;
    `best` maps task to (metric, ranked). The table is as wide as `entry_list` makes it.
    """
    rows = []
    ties: dict[str, files.Json] = {}
    values: dict[str, files.Json] = {}
    for metric, ranked in best.values():
        entry = ranked[0].entry
        rows.append([*_row(entry, COLUMNS, metric), _baseline(entry, metric)[0]])
        ties[entry.id] = _tied(ranked)
        values[entry.id] = entry.value("best.values")
    sections = [
        Section("", [Table((*COLUMNS, "best baseline"), rows, _spare(wide, SPARE))]),
        Section("Tied with", [Facts(ties)]),
        Section("Best values", [Facts(values)]),
    ]
    return Page(sections)


def _tied(ranked: Sequence[ranking.Ranked]) -> list[str]:
    """Return the entries tied with the first, or how many there are beside the first three."""
    tied = [each.entry.id for each in ranked[1:] if each.tied]
    if len(tied) < 4:
        return tied
    return [*tied[:3], f"{len(tied) - 3} more"]


def entry_page(history: History, entry: Entry) -> Page:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    artefacts = entry.value("artefacts", {}).items()
    sizes = {name: f"{file['path']}, {file['bytes']:,} bytes" for name, file in artefacts}
    notes = [str(note) for note in entry.value("notes", [])]
    sections = [
        Section(entry.id, [_result(entry)]),
        Section("Error", [Facts(entry.value("error", {}))]),
        _warning(entry),
        Section("Best values", [Facts(entry.value("best.values", {}))]),
        _curves(entry),
        Section("Metrics", [_metrics(entry)]),
        Section("Baselines", [_baselines(entry)]),
        _report(history, entry),
        Section("Search", [_facts(entry, SEARCH)]),
        Section("Notes", [Text("\n".join(notes), indent=2)]),
        Section("Entry", [_facts(entry, IDENTITY)]),
        Section("Environment", [Facts(entry.value("environment", {}))]),
        Section("Artefacts", [Facts(sizes)]),
    ]
    return Page(sections)


def _facts(entry: Entry, keys: Sequence[str]) -> Facts:
    return Facts({key: entry.value(key) for key in keys})


def _result(entry: Entry) -> Facts:
    """Return what is asked first of an entry: what it came to, and from what."""
    metric, _ = ranked_by(entry)
    facts: dict[str, files.Json] = {"status": _cell(entry, "status", None)}
    results = {
        _validation(entry): measured(entry, "validation", metric),
        "their mean": number(entry.metric(metric, "ensemble")),
        "test": measured(entry, "test", metric),
    }
    for name, value in results.items():
        if value != "-":
            facts[name] = f"{value} {metric}"
    facts["best baseline"] = _baseline(entry, metric)[0]
    facts["search"] = _search(entry)
    for label in schema.LABELS:
        facts[label] = entry.value(label)
    facts["created"] = local_time(entry.created)
    return Facts(facts)


def _search(entry: Entry) -> str:
    """Return the best score of a search, and how many trials, how long and which tuner it took."""
    steps = []
    best = entry.value("best.trial_id")
    if best:
        objective = entry.value("search.objective.name", "")
        steps.append(f"{number(entry.value('best.score'))} {objective} in trial {best}")
    if entry.value("search.trials"):
        steps.append(f"{_cell(entry, 'trials', None)} trials")
    if entry.value("search.seconds"):
        steps.append(_cell(entry, "search", None))
    tuner = entry.value("search.tuner")
    if tuner:
        steps.append(tuner)
    return ", ".join(steps)


def _warning(entry: Entry) -> Section:
    metric, _ = ranked_by(entry)
    warnings = [str(entry.value("validation.warning", "")), _baseline(entry, metric)[1]]
    return Section("Warning", [Text("\n".join(filter(None, warnings)), indent=2)])


def _metrics(entry: Entry) -> Table:
    """Return the metrics of each part, and those of the mean of the refits, where it is known."""
    joined = [part for part in ranking.PARTS if entry.value(f"ensemble.{part}")]
    columns = ["metric", _validation(entry), "test"]
    columns += [f"{part}, their mean" for part in joined]
    rows = []
    for name in entry.value("validation.metrics", {}) | entry.value("test.metrics", {}):
        row = [name]
        row += [measured(entry, part, name) for part in ranking.PARTS]
        row += [number(entry.metric(name, "ensemble", part)) for part in joined]
        rows.append(row)
    return Table(columns, rows)


def _baselines(entry: Entry) -> Table:
    simple = list(entry.value("baselines", {}))
    rows = []
    for part in ranking.PARTS if simple else ():
        for name in entry.value(f"{part}.metrics", {}):
            scores = [number(entry.metric(name, f"baselines.{each}", part)) for each in simple]
            rows.append([part, name, *scores])
    return Table(["part", "metric", *simple], rows)


def _validation(entry: Entry) -> str:
    kind = "folds" if entry.value("validation.folds") else "repeats"
    return f"validation ({kind}: {entry.repeats})"


def _curves(entry: Entry) -> Section:
    """Return the metrics of the refit whose model is stored, or of the first, over its epochs."""
    which = entry.value("validation.kept", 0)
    try:
        refits = entry.refits()
        curves = {name: _finite(values) for name, values in refits[which]["history"].items()}
    except (errors.ExperimentError, AttributeError, LookupError, TypeError):
        return Section("", [])  # failed, imported or damaged
    epochs = max(map(len, curves.values()), default=0)
    rows = []
    for name, values in curves.items():
        if len(values) > 1:
            rows.append([name, number(values[0]), bars(values), number(values[-1])])
    title = f"Learning curves of refit {which + 1} of {len(refits)}, {epochs} epochs"
    return Section(title, [Table(("metric", "first", "", "last"), rows)])


def _finite(values: Iterable[object]) -> list[float]:
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def comparison_page(entries: Sequence[Entry], found: Sequence[Mapping[str, files.Json]]) -> Page:
    """Return what `compare` found of an entry, A, and each of the others, in sections."""
    letters = LETTERS[: len(entries)]
    notes = {key: note for each in found for key, note in each["notes"].items()}
    names = list(dict.fromkeys(name for each in found for name in each["metrics"]["validation"]))
    compared = {
        letter: _row(entry, COLUMNS[:6]) for letter, entry in zip(letters, entries, strict=True)
    }
    sections = [
        Section("Entries", [Facts(compared)]),
        Section("Metrics", [Text(notes.get("metrics", ""), indent=2)]),
    ]
    for part in ranking.PARTS:
        sections.append(_compared(entries, [each["metrics"][part] for each in found], part))
    sections.append(Section("Mean of the refits", [_compared_means(entries, names)]))
    sections.append(Section("Best baselines", [_compared_baselines(entries, names)]))
    for section in found[0]["differs"]:
        differences = _differing(letters, [each["differs"][section] for each in found])
        nothing = Text(notes.get(section, "nothing differs"), indent=2)
        part_shown = nothing if differences.is_empty() else differences
        sections.append(Section(section.capitalize(), [part_shown]))
    return Page(sections)


def _compared_means(entries: Sequence[Entry], names: Sequence[str]) -> Table:
    rows = []
    for part in ranking.PARTS:
        for name in names:
            means = [number(entry.metric(name, "ensemble", part)) for entry in entries]
            rows.append([f"{part} {name}", *means])
    return _known("metric", len(entries), rows)


def _compared_baselines(entries: Sequence[Entry], names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        rows.append([name, *(_baseline(entry, name)[0] for entry in entries)])
    return _known("validation", len(entries), rows)


def _known(name: str, count: int, rows: Sequence[Sequence[str]]) -> Table:
    """Return the rows that have anything but their name, under it and letters."""
    return Table([name, *LETTERS[:count]], [row for row in rows if set(row[1:]) != {"-"}])


def _differing(
    letters: Sequence[str], every: Sequence[Mapping[str, Sequence[files.Json]]]
) -> Table:
    """Return the keys in which entries differ, with the values of each."""
    first: dict[str, files.Json] = {}
    for each in reversed(every):
        first |= {key: values[0] for key, values in each.items()}
    rows = []
    for key, value in first.items():
        others = [pairs(each.get(key, (value, value))[1]) for each in every]
        rows.append([key, pairs(value), *others])
    return Table(["key", *letters], rows, folds=True)


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


def _report(history: History, entry: Entry) -> Section:
    if entry.status == "failed" or not entry.value("validation"):
        return Section("", [])
    try:
        return report(history, entry)
    except errors.ExperimentError as error:
        return Section("Report", [Text(f"not available: {error}", indent=2)])


def report(history: History, entry: Entry) -> Section:
    """Return what its history manager reports of an entry; raises ExperimentError."""
    report = history.manager_of(entry).report(entry)
    rows = [[rounded(cell) for cell in row] for row in report.rows]
    return Section(report.title.capitalize(), [Table(report.columns, rows)])


def _compared(
    entries: Sequence[Entry], every: Sequence[Mapping[str, files.Json]], part: str
) -> Section:
    """Return the metrics that `compare` has of a part: of two entries a row each, with the
    difference; of several a column each.
    """
    names = list(dict.fromkeys(name for each in every for name in each))
    if len(entries) > 2:
        title = f"{part.capitalize()}: ▲ better and ▼ worse than A, beyond noise"
        return Section(title, [_compared_with_first(entries, every, part, names)])
    rows = []
    for name in names:
        means = [measured(entry, part, name) for entry in entries]
        rows.append([name, *means, *_verdict(every[0][name])])
    columns = ("metric", "A", "B", "verdict", "B - A ± error")
    return Section(part.capitalize(), [Table(columns, rows)])


def _compared_with_first(
    entries: Sequence[Entry],
    every: Sequence[Mapping[str, files.Json]],
    part: str,
    names: Sequence[str],
) -> Table:
    if not names:
        return Table((), ())
    rows = []
    for letter, entry, verdicts in zip(LETTERS, entries, [{}, *every], strict=False):
        row = [letter]
        for name in names:
            row.append(measured(entry, part, name) + _sign(verdicts.get(name)))
        rows.append(row)
    return Table(["", *names], rows)


def _sign(verdict: Mapping[str, files.Json] | None) -> str:
    """Return whether an entry, B, is better or worse than A beyond noise, as a sign."""
    if not verdict or verdict["within_noise"] is not False or verdict["better"] is None:
        return ""
    return " ▲" if verdict["better"] == "b" else " ▼"


def _verdict(facts: Mapping[str, files.Json]) -> tuple[str, str]:
    """Return what `compare` says of a metric in words, and the difference with its error."""
    difference = facts["difference"]
    if difference is None:
        return "-", "-"
    verdict = VERDICTS[facts["within_noise"]]
    if facts["better"]:
        verdict = f"{facts['better'].upper()} better, {verdict}"
    change = number(difference)
    if difference > 0:
        change = f"+{change}"
    if facts["error"] is not None:
        change += f" ± {number(facts['error'])}"
    return verdict, change
