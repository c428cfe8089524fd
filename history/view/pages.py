"""What is shown of entries: a list, the best of each task, one by itself, several compared."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from foundation import errors
from foundation.files import Json, JsonObject
from history import Entry, History, ranking, registry, schema
from history.records import Trial
from history.view.page import Facts, Page, Section, Table, Text
from history.view.rows import COLUMNS, EntryRow, Row, TrialRow, check_columns
from history.view.text import (
    bars,
    best_baseline,
    local_time,
    measured,
    not_better,
    number,
    pairs,
    rounded,
)

# What a narrow terminal does without, in this order: the id begins with the pipeline.
SPARE = ("pipeline", "task", "search", "trials", "experiment", "created", "name", "tags")
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
    "tuner",
    "objective",
    "oracle",
    "trials",
    "reused",
    "seconds",
    "ended",
    "peak_bytes",
)
LETTERS = [chr(code) for code in range(ord("A"), 0x1000)]  # of entries that are compared
VERDICTS = {True: "within noise", False: "beyond noise", None: "noise unknown"}


def overview(root: Path, rows: Sequence[EntryRow], columns: Sequence[str]) -> Page:
    """Return the list of entries, if there are some, and below it what runs are at.

    Arguments: `columns`, of the list. Without any: COLUMNS, and names and tags where there are
    some, as far as there is room. Raises InputError for a column that no entry has.
    """
    if columns:
        table = _table(rows, columns)
    else:
        labels = [key for key in ("name", "tags") if any(row.value(key) for row in rows)]
        table = _table(rows, [*COLUMNS, *labels], spare=SPARE)
    return Page([Section("", [table]), Section("", [_running(root)])])


def _table(rows: Sequence[Row], columns: Sequence[str], spare: Sequence[str] = ()) -> Table:
    check_columns(rows, columns)
    return Table(columns, [row.cells(columns) for row in rows], spare)


def _running(root: Path) -> Table:
    from history.running import running  # with YAML, which only this needs

    rows = []
    for row in running(root):
        trials = "-" if row.trials is None else f"{row.trials}/{row.limit or '?'}"
        best = f"{number(row.best)} {row.objective}"
        rows.append([row.pipeline, row.experiment, row.doing, trials, best, row.by])
    return Table(("running", "experiment", "at", "trials", "best so far", "by"), rows)


def trial_list(rows: Sequence[TrialRow], columns: Sequence[str]) -> Page:
    """Return a row per trial: its score and the values in which trials differ, or the columns
    named; then the other values, and why trials have failed.

    Raises InputError for a column that no trial has.
    """
    titles = {}
    varied = []
    common = {}
    for name, short in short_names([row.trial for row in rows]).items():
        column = f"values.{name}"
        titles[column] = short
        cells = [str(row.value(column)) for row in rows]
        if len(rows) == 1 or len(set(cells)) > 1:
            varied.append(column)
        else:
            common[short] = rows[0].value(column)
    table = _table(rows, columns or ["trial_id", "score", *varied, "best_epoch", "seconds"])
    headed = Table([titles.get(column, column) for column in table.columns], table.rows)
    failures = {}
    for row in rows:
        if row.trial.message:
            failures[row.trial.trial_id] = row.trial.message.strip().splitlines()[-1]
    return Page(
        [
            Section("", [headed]),
            Section("The same in all", [Facts(common)]),
            Section("Failed", [Facts(failures)]),
        ]
    )


def short_names(trials: Sequence[Trial]) -> dict[str, str]:
    """Return the hyperparameters of trials, each with the least of its end that only it has."""
    endings: dict[str, list[str]] = {}
    uses = Counter(TrialRow.columns)
    for name in dict.fromkeys(name for trial in trials for name in trial.values):
        words = name.split(".")
        endings[name] = [".".join(words[-count:]) for count in range(1, len(words) + 1)]
        uses.update(endings[name])
    short = {}
    for name, ends in endings.items():
        short[name] = next((end for end in ends if uses[end] == 1), name)
    return short


def best_list(best: Mapping[str, tuple[str, list[ranking.Ranked]]]) -> Page:
    """Return the first of each task's ranked entries, then those tied with it, and its values;
    `best` maps task to (metric, ranked).
    """
    rows = []
    ties = {}
    values = {}
    for metric, ranked in best.values():
        entry = ranked[0].entry
        row = EntryRow(entry)
        row.metric = metric
        rows.append([*row.cells(COLUMNS), _baseline(entry, metric)])
        ties[entry.id] = _tied(ranked)
        values[entry.id] = entry.best.values
    return Page(
        [
            Section("", [Table((*COLUMNS, "best baseline"), rows, SPARE)]),
            Section("Tied with", [Facts(ties)]),
            Section("Best values", [Facts(values)]),
        ]
    )


def _tied(ranked: Sequence[ranking.Ranked]) -> list[str]:
    """Return the entries tied with the first, or how many there are beside the first three."""
    tied = [other.entry.id for other in ranked[1:] if other.tied]
    if len(tied) < 4:
        return tied
    return [*tied[:3], f"{len(tied) - 3} more"]


def entry_page(history: History, entry: Entry) -> Page:
    """Return all that is known of one entry, in sections; what a failed entry lacks is left out."""
    document = entry.document
    search = {f"search.{key}": (document.get("search") or {}).get(key) for key in SEARCH}
    best = {"best.trial_id": entry.best.trial_id, "best.score": entry.best.score}
    sizes = {
        name: f"{artefact.path}, {artefact.bytes:,} bytes"
        for name, artefact in entry.artefacts.items()
    }
    return Page(
        [
            Section(entry.id, [_result(entry)]),
            Section("Error", [Facts(entry.error)]),
            Section("Warning", [Text(_warning(entry), indent=2)]),
            Section("Best values", [Facts(entry.best.values)]),
            _curves(entry),
            Section("Metrics", [_metrics(entry)]),
            Section("Baselines", [_baselines(entry)]),
            _report(history, entry),
            Section("Search", [Facts(search | best)]),
            Section("Notes", [Text("\n".join(entry.notes), indent=2)]),
            Section("Entry", [Facts({key: document.get(key) for key in IDENTITY})]),
            Section("Environment", [Facts(entry.environment)]),
            Section("Artefacts", [Facts(sizes)]),
        ]
    )


def _result(entry: Entry) -> Facts:
    """Return what is asked first of an entry: what it came to, and from what."""
    row = EntryRow(entry)
    metric = row.metric
    facts: JsonObject = {"status": row.cell("status")}
    results = {
        _validation(entry): measured(entry, "validation", metric),
        "their mean": number(entry.metric(metric, "ensemble")),
        "test": measured(entry, "test", metric),
    }
    for name, value in results.items():
        if value != "-":
            facts[name] = f"{value} {metric}"
    facts["best baseline"] = _baseline(entry, metric)
    facts["search"] = _search(row)
    for label in schema.LABELS:
        facts[label] = row.value(label)
    facts["created"] = local_time(entry.created)
    return Facts(facts)


def _search(row: EntryRow) -> str:
    """Return the best score of a search, and how many trials, how long and which tuner it took."""
    best = row.entry.best
    search = row.entry.search
    steps = []
    if best.trial_id:
        steps.append(f"{number(best.score)} {search.objective.name} in trial {best.trial_id}")
    if search.trials.total is not None:
        steps.append(f"{row.cell('trials')} trials")
    if search.seconds:
        steps.append(row.cell("search"))
    if search.tuner:
        steps.append(search.tuner)
    return ", ".join(steps)


def _warning(entry: Entry) -> str:
    metric, _ = registry.ranked_by(entry)
    direction = registry.direction(entry, metric)
    doubt = not_better(entry, metric, direction) if direction else ""
    return "\n".join(filter(None, [entry.validation.warning, doubt]))


def _baseline(entry: Entry, metric: str) -> str:
    """Return the best baseline of an entry by a metric."""
    direction = registry.direction(entry, metric)
    return best_baseline(entry, metric, direction) if direction else "-"


def _metrics(entry: Entry) -> Table:
    """Return the metrics of each part, and those of the mean of the refits, where it is known."""
    averaged = [part for part in ranking.PARTS if entry.ensemble.get(part)]
    columns = ["metric", _validation(entry), "test"]
    columns += [f"{part}, their mean" for part in averaged]
    rows = {}
    for name in entry.validation.metrics | entry.test.metrics:
        own = [measured(entry, part, name) for part in ranking.PARTS]
        rows[name] = own + [number(entry.metric(name, "ensemble", part)) for part in averaged]
    return _by_name(columns, rows)


def _baselines(entry: Entry) -> Table:
    names = list(entry.baselines)
    rows = []
    for part in ranking.PARTS if names else ():
        for metric in entry.part(part).metrics:
            scores = [number(entry.metric(metric, f"baselines.{name}", part)) for name in names]
            rows.append([part, metric, *scores])
    return Table(["part", "metric", *names], rows)


def _validation(entry: Entry) -> str:
    kind = "folds" if entry.validation.folds else "repeats"
    return f"validation ({kind}: {entry.repeats})"


def _curves(entry: Entry) -> Section:
    """Return the metrics of the refit whose model is stored, or of the first, over its epochs."""
    kept = entry.validation.kept
    try:
        refits = entry.refits()
        curves = {name: _finite(values) for name, values in refits[kept]["history"].items()}
    except (errors.ExperimentError, AttributeError, LookupError, TypeError):
        return Section("", [])  # failed, imported or damaged
    epochs = max(map(len, curves.values()), default=0)
    rows = {}
    for name, values in curves.items():
        if len(values) > 1:
            rows[name] = [number(values[0]), bars(values), number(values[-1])]
    title = f"Learning curves of refit {kept + 1} of {len(refits)}, {epochs} epochs"
    return Section(title, [_by_name(("metric", "first", "", "last"), rows)])


def _finite(values: Iterable[object]) -> list[float]:
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def _report(history: History, entry: Entry) -> Section:
    if entry.status == "failed" or not entry.validation.metrics:
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


def comparison_page(entries: Sequence[Entry], comparisons: Sequence[JsonObject]) -> Page:
    """Return what `compare` says of an entry, A, and each of the others, in sections."""
    notes: dict[str, str] = {}
    for comparison in comparisons:
        notes |= comparison["notes"]
    compared = {}
    for letter, entry in zip(LETTERS, entries, strict=False):
        compared[letter] = EntryRow(entry).cells(COLUMNS[:6])
    sections = [
        Section("Entries", [Facts(compared)]),
        Section("Metrics", [Text(notes.get("metrics", ""), indent=2)]),
    ]
    for part in ranking.PARTS:
        verdicts = [comparison["metrics"][part] for comparison in comparisons]
        sections.append(_compared(entries, verdicts, part))
    names: JsonObject = {}
    for comparison in comparisons:
        names |= comparison["metrics"]["validation"]
    means = {}
    for part in ranking.PARTS:
        for name in names:
            row = [number(entry.metric(name, "ensemble", part)) for entry in entries]
            means[f"{part} {name}"] = row
    baselines = {name: [_baseline(entry, name) for entry in entries] for name in names}
    sections.append(Section("Mean of the refits", [_beside("metric", means)]))
    sections.append(Section("Best baselines", [_beside("validation", baselines)]))
    for section in comparisons[0]["differs"]:
        differences = _differing([comparison["differs"][section] for comparison in comparisons])
        nothing = Text(notes.get(section, "nothing differs"), indent=2)
        part_shown = nothing if differences.is_empty() else differences
        sections.append(Section(section.capitalize(), [part_shown]))
    return Page(sections)


def _beside(corner: str, rows: Mapping[str, list[str]]) -> Table:
    """Return the rows that have anything, with a column for each entry."""
    known = {name: row for name, row in rows.items() if set(row) != {"-"}}
    count = max(map(len, known.values()), default=0)
    return _by_name([corner, *LETTERS[:count]], known)


def _by_name(columns: Sequence[str], rows: Mapping[str, list[str]]) -> Table:
    return Table(columns, [[name, *row] for name, row in rows.items()])


def _differing(every: Sequence[Mapping[str, Sequence[Json]]]) -> Table:
    """Return the keys in which entries differ, with the values of each."""
    first: JsonObject = {}
    for differences in reversed(every):
        first |= {key: values[0] for key, values in differences.items()}
    rows = []
    for key, value in first.items():
        row = [key, pairs(value)]
        for differences in every:
            _, other = differences.get(key, (value, value))
            row.append(pairs(other))
        rows.append(row)
    return Table(["key", *LETTERS[: len(every) + 1]], rows, folds=True)


def _compared(entries: Sequence[Entry], every: Sequence[JsonObject], part: str) -> Section:
    """Return the metrics that `compare` has of a part: of two entries a row each, with the
    difference; of several a column each.
    """
    names = list(dict.fromkeys(chain.from_iterable(every)))
    rows = {}
    if len(entries) == 2:
        for name in names:
            means = [measured(entry, part, name) for entry in entries]
            rows[name] = means + _verdict(every[0][name])
        columns = ["metric", "A", "B", "verdict", "B - A ± error"]
        return Section(part.capitalize(), [_by_name(columns, rows)])
    for letter, entry, verdicts in zip(LETTERS, entries, [{}, *every], strict=False):
        if names:
            cells = [measured(entry, part, name) + _sign(verdicts.get(name)) for name in names]
            rows[letter] = cells
    title = f"{part.capitalize()}: ▲ better and ▼ worse than A, beyond noise"
    return Section(title, [_by_name(["", *names], rows)])


def _sign(verdict: JsonObject | None) -> str:
    """Return whether an entry, B, is better or worse than A beyond noise, as a sign."""
    if not verdict or verdict["within_noise"] is not False or verdict["better"] is None:
        return ""
    return " ▲" if verdict["better"] == "b" else " ▼"


def _verdict(facts: JsonObject) -> list[str]:
    """Return what `compare` says of a metric in words, and the difference with its error."""
    difference = facts["difference"]
    if difference is None:
        return ["-", "-"]
    verdict = VERDICTS[facts["within_noise"]]
    if facts["better"]:
        verdict = f"{facts['better'].upper()} better, {verdict}"
    change = number(difference)
    if difference > 0:
        change = f"+{change}"
    if facts["error"] is not None:
        change += f" ± {number(facts['error'])}"
    return [verdict, change]
