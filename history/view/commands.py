"""The commands of `python -m history`: the arguments of each, and what it does with them.

A command returns what goes to stdout, a page or data, so that one that fails writes nothing there.
What only one command or form of output needs is imported there: a list in JSON imports no rich,
nothing imports pandas or Keras.
"""

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from inspect import getdoc
from itertools import chain
from operator import methodcaller
from pathlib import Path
from typing import Any, NoReturn

from foundation import errors, escape, files, trees
from history import Entry, History, doctor, ranking, schema
from history.view import pages
from history.view.page import Page
from history.view.rows import AnyRow, EntryRow, TrialRow, in_order, to_csv
from history.view.text import pairs

Output = Page | bytes | None
Run = Callable[[History, Namespace], Output]

Argument = Callable[[Any], Any]  # adds itself to a parser


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other wrong input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and exiting."""
        raise errors.InputError(f"{message}; see `{self.prog} --help`")


def _ids(parsed_args: Namespace, **_: object) -> list[str]:
    """Return what a shell completes: the ids, without a look at what else the documents say."""
    return [str(row["id"]) for row in History(parsed_args.root).store.all()]


def argument(usage: str, text: str, **more: Any) -> Argument:
    """Return an argument of a command.

    Arguments: `usage`, its name and, if it takes a value, what stands for that in the help; `text`,
    the help; `more`, as argparse has it.
    """
    name, _, metavar = usage.partition(" ")
    if metavar:
        more["metavar"] = metavar
    elif "choices" not in more:
        more["action"] = "store_true"
    return methodcaller("add_argument", name, help=text, **more)


def command(*groups: Sequence[Argument]) -> Callable[[Run], Run]:
    """Return a decorator that makes a function the command of its name, with its docstring as
    help.
    """

    def add(run: Run) -> Run:
        text = getdoc(run) or ""
        own = subparsers.add_parser(
            run.__name__.rstrip("_"), help=text.partition("\n\n")[0], description=text
        )
        own.set_defaults(run=run)
        # Without a default of its own, so that it does not undo a --root before the command.
        own.add_argument("--root", default=argparse.SUPPRESS, metavar="DIR", help=WHERE)
        for add_argument in chain.from_iterable(groups):
            action = add_argument(own)
            if action.help.startswith(REFERENCE):
                action.completer = _ids
        return run

    return add


WHERE = "the history's folder (default: results)"
EXAMPLES = """\
examples:
  {0} list --sort metric --reverse --limit 5
  {0} list --tag paper --columns id,metric,config.fit.batch_size
  {0} show @-1
  {0} trials @-1 --sort seconds --csv
  {0} compare mlp-k7 cnn-c9
  {0} best --task regression --metric mae
  {0} tag @-1 paper --note "after the data was cleaned"
  {0} report --output report

To complete commands and ids in bash and zsh:
  eval "$(register-python-argcomplete runner runner-history)"
"""
parser = Parser(
    prog=errors.program(),
    description="The results of experiment runs: as tables or, with --json, for programs.",
    epilog=EXAMPLES.format(errors.program()),
    formatter_class=argparse.RawDescriptionHelpFormatter,
)
parser.add_argument("--root", default="results", metavar="DIR", help=WHERE)
parser.set_defaults(wide=False)
subparsers = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

STDOUT = Path("-")
FILE: dict[str, Any] = {"nargs": "?", "const": STDOUT, "type": Path}
REFERENCE = "an id, a unique prefix of one, or a position: @-1 the newest, @0 the oldest"
ENTRY = argument("entry ID", REFERENCE)
FILTERS = [
    argument(f"--{key} NAME", f"only entries of this {key}")
    for key in ("experiment", "pipeline", "task", "tag")
]
STATUS = argument("--status", "only entries of this status", choices=schema.STATUSES)
ONE = {"run_id": "run", "sweep": "sweep"}  # what an option names, by the key of documents
OF_ONE = [
    argument(f"--{noun} ID", f"only entries of this {noun}; a prefix will do", dest=key)
    for key, noun in ONE.items()
]
MATCHING = [*FILTERS, STATUS, *OF_ONE]
JSON = argument("--json", "print strict JSON and nothing else")
WIDE = argument("--wide", "every column, however narrow the terminal")
TABLE = [
    JSON,
    argument("--csv", "print CSV: the columns or, without, every key"),
    argument("--sort KEY", "sort by it, smallest first; those without it last", default=""),
    argument("--reverse", "reverse the order"),
    argument(
        "--columns KEY,...",
        "the columns of the table",
        default=[],
        type=lambda keys: keys.replace(" ", "").split(","),
    ),
    WIDE,
    argument(
        "--limit N",
        "N of them: the newest entries, the best trials or, with --sort, the first",
        type=int,
        default=sys.maxsize,
    ),
]
YES = argument("--yes", "do it without asking")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 history damaged or no room, 2 wrong input,
    130 interrupted.
    """
    try:
        args = parser.parse_args(argv)
        history = History(args.root)
        if not history.root.is_dir() and args.command != "import":  # which makes it
            raise errors.InputError(
                f"{history.root} does not exist or is not a folder; choose another with --root"
            )
        write(_bytes(args.run(history, args), args.wide))
    except errors.ExperimentError as error:
        say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@command(MATCHING, TABLE)
def list_(history: History, args: Namespace) -> Output:
    """List the entries, oldest first; below them, the runs that are at work.

    A KEY is a column; a dotted key of the entries' documents, such as validation.metrics.accuracy
    or best.values.model.dropout; or one of their configs: config.fit.batch_size.
    """
    entries = _matching(history, args)
    if any(key.startswith("config.") for key in [args.sort, *args.columns]):
        from history.config import with_config

        entries = list(map(with_config, entries))
    listed = _listed(args, [EntryRow(entry) for entry in entries], args.reverse)
    return _data(args, listed) or pages.overview(history.root, listed, args.columns)


@command([ENTRY], TABLE)
def trials(history: History, args: Namespace) -> Output:
    """List the trials of an entry with their values, best first.

    A KEY is one of a trial's, such as score, seconds, status or best_epoch; or a hyperparameter, of
    whose name the end is enough where no other has it: dropout for model.dropout.
    """
    entry = history.get(args.entry)
    trials = entry.trial_records()
    if not trials:
        raise errors.InputError(f"entry {entry.id} has no trials")
    direction = entry.search.objective.direction
    trials.sort(key=lambda trial: ranking.merit(trial.score, direction), reverse=True)
    keys = {}
    for name, short in pages.short_names(trials).items():
        keys[name] = f"values.{name}"
        keys[short] = f"values.{name}"
    args.sort = keys.get(args.sort, args.sort)
    best_last = [TrialRow(trial) for trial in reversed(trials)]
    if args.csv and not args.columns:
        args.columns = list(
            dict.fromkeys(k for row in best_last[::-1] for k in trees.flat(row.document))
        )
    if args.columns:
        args.columns = [keys.get(key, key) for key in args.columns]
    listed = _listed(args, best_last, not args.reverse)
    return _data(args, listed) or pages.trial_list(listed, args.columns)


@command(
    [
        ENTRY,
        argument("tags TAG", "tags to add", nargs="*"),
        argument("--remove TAG", "tags to remove", action="append", default=[]),
        argument("--name TEXT", 'a name of your own; "" removes it'),
        argument("--note TEXT", 'a note; "" removes it'),
    ]
)
def tag(history: History, args: Namespace) -> None:
    """Change the tags, the name and the note of an entry.

    `list --tag` finds entries by a tag. Labels decide nothing: the entry is the same result.
    """
    with history.store.locked():
        entry = history.get(args.entry)
        tags = dict.fromkeys([*entry.tags, *args.tags])
        changes: dict[str, Any] = {"tags": [tag for tag in tags if tag not in args.remove] or None}
        for key in ("name", "note"):
            text = getattr(args, key)
            if text is not None:
                changes[key] = text or None
        history.store.change(entry.id, changes)
    labels = []
    for key, label in (entry.document | changes).items():
        if key in schema.LABELS and label:
            labels.append(f"{key} {pairs(label)}")
    say(f"{entry.id}: {'; '.join(labels) or 'no labels'}")


@command([ENTRY, JSON])
def show(history: History, args: Namespace) -> Output:
    """Show one entry: its result, its learning curves, and everything that was recorded."""
    entry = history.get(args.entry)
    return _json(entry.document) if args.json else pages.entry_page(history, entry)


@command(
    [
        argument("one A", REFERENCE),
        argument("other B", REFERENCE),
        argument("more C", f"{REFERENCE}; each is compared with A", nargs="*"),
        JSON,
    ]
)
def compare(history: History, args: Namespace) -> Output:
    """Say how entries differ: their metrics, and the config, data and code that led to them.

    With --json: one object, or for more than two an array of one for each of the others and A.
    """
    from history.view.compare import compare

    entries = [history.get(reference) for reference in (args.one, args.other, *args.more)]
    comparisons = [compare(history, entries[0], other) for other in entries[1:]]
    if args.json:
        return _json(comparisons if args.more else comparisons[0])
    return pages.comparison_page(entries, comparisons)


@command(
    FILTERS,
    [JSON, WIDE, argument("--metric NAME", "rank by this metric (default: the task's own)")],
)
def best(history: History, args: Namespace) -> Output:
    """Show the best complete or budget entry of each task.

    With --json: one object, the entry's document; where several tasks are in question, --task must
    choose one.
    """
    entries = [entry for entry in _matching(history, args) if entry.status != "failed"]
    best: dict[str, tuple[str, list[ranking.Ranked]]] = {}
    metrics: list[str] = []
    for task in dict.fromkeys(entry.task for entry in entries):
        candidates = [entry for entry in entries if entry.task == task]
        manager = history.manager_of(candidates[-1])
        ranked_by = [name for name, way in manager.directions(candidates).items() if way]
        metrics += ranked_by
        metric = args.metric or manager.ranking
        if metric not in ranked_by:
            continue
        ranked = manager.rank(candidates, metric)
        if ranked[0].mean is None:
            say(f"no entry of task {task} has the metric {metric!r}")
        else:
            best[task] = (metric, ranked)
    if not best:
        raise errors.InputError(
            f"no complete entry in {history.root} matches and has this "
            f"metric{errors.suggest(args.metric or '', metrics)} (known: "
            f"{', '.join(metrics) or 'none'})"
        )
    if not args.json:
        return pages.best_list(best)
    if len(best) > 1:
        raise errors.InputError(f"several tasks match; choose one with --task: {', '.join(best)}")
    [(_, ranked)] = best.values()
    return _json(ranked[0].entry.document)


@command(
    [argument("entries ID", f"{REFERENCE}; before --csv and --json", nargs="*")],
    FILTERS[1:],  # its --experiment is a form
    [STATUS],
)
def export(history: History, args: Namespace) -> Output:
    """Write entries for other programs, or for another root.

    Those named or, without ID, all as far as they match. Without FILE, to stdout.
    """
    entries = _matching(history, args)
    if not entries:
        raise errors.InputError("nothing to export: no entry matches; nothing was written")
    if (args.as_experiment or args.optuna or args.card) and len(entries) != 1:
        raise errors.InputError(
            "--experiment, --optuna and --card write a single entry: name one ID"
        )
    if args.as_experiment:
        from history.config import experiment_yaml

        return experiment_yaml(entries[0]).encode()
    file = args.archive or args.optuna or args.card or args.json or args.csv
    if file != STDOUT:
        _check_target(history, file)
    if args.archive:
        from history.exchange.archive import write_archive

        write_archive(entries, file)
    elif args.optuna:
        from history.exchange.optuna_journal import write_journal

        write_journal(entries[0], file)
    else:
        data = _exported(args, entries)
        if file == STDOUT:
            return data
        files.write_atomic(file, data)
    say(f"entries in {file}: {len(entries)}")
    return None


_forms = subparsers.choices["export"].add_mutually_exclusive_group(required=True)
for _form in (
    argument("--csv FILE", "one row per entry, one column per key", **FILE),
    argument("--json FILE", "an array of the entries' documents", **FILE),
    argument("--card FILE", "a model card of the one ID, as Markdown", **FILE),
    argument(
        "--experiment",
        "an experiment file that runs the one ID's pipeline",
        dest="as_experiment",
    ),
    argument("--archive FILE", "whole entries, for `import`", type=Path),
    argument(
        "--optuna FILE",
        "the one ID's trials as a study, which Optuna and its dashboard open",
        type=Path,
    ),
):
    _form(_forms)


def _exported(args: Namespace, entries: Sequence[Entry]) -> bytes:
    if args.card:
        from history.exchange.card import card

        return card(entries[0])
    if args.csv:
        return to_csv([EntryRow(entry) for entry in entries])
    return _json([entry.document for entry in entries])


def _check_target(history: History, file: Path) -> None:
    """Raise InputError unless an export may write this file."""
    target = file.resolve()
    if not target.parent.is_dir() or (target.exists() and not target.is_file()):
        raise errors.InputError(
            f"cannot write {file}: it is not a file, or its folder does not exist"
        )
    is_entry = target.is_relative_to(history.root / "entries")
    is_database = target.parent == history.root and target.name.startswith("history.")
    if is_entry or is_database:
        raise errors.InputError(f"cannot write {file}: it would overwrite the history itself")


@command(
    [argument("entries ID", f"{REFERENCE}; without one, all that match", nargs="*")],
    MATCHING,
    [argument("--output DIR", "the folder for its pages", type=Path, required=True)],
)
def report(history: History, args: Namespace) -> None:
    """Write a report for a browser: an index of entries, and a page of each.

    The folder needs neither network nor server. A report that is there is brought up to date.
    """
    from history.report import pages

    entries = _matching(history, args)
    pages.write(history, entries, args.output)
    say(f"entries in {args.output / 'index.html'}: {len(entries)}")


@command(
    [
        argument("path PATH", "the file or folder", type=Path),
        argument(
            "--task NAME",
            "the task, if a Keras Tuner folder does not show it: classification, ...",
        ),
        argument("--objective NAME", "likewise, the metric by which its trials were scored"),
        argument("--direction", "likewise, the direction of the objective", choices=("min", "max")),
    ]
)
def import_(history: History, args: Namespace) -> None:
    """Take in what was exported, or made elsewhere.

    An archive made by `export --archive`, or a Keras Tuner project folder (it holds oracle.json).
    """
    if not (args.path.is_file() or args.path.is_dir()):
        raise errors.InputError(f"there is nothing to import at {args.path.resolve()}")
    if args.path.is_dir():
        from history.exchange.keras_tuner import import_project, read_project

        project = read_project(args.path, args.task, args.objective, args.direction)
        taken = import_project(history, project)
    else:
        from history.exchange.archive import read_archive

        if args.task or args.objective or args.direction:
            raise errors.InputError(
                f"{args.path}: an archive contains all of this; remove --task, --objective and "
                "--direction"
            )
        taken = read_archive(history, args.path)
    for entry in taken:
        say(f"{entry.id}: imported")
        for note in entry.notes:
            say(f"note: {note}")
    if not taken:
        say(f"every entry of {args.path} is already in {history.root}; nothing was changed")


@command([argument("entries ID", REFERENCE, nargs="+"), YES])
def remove(history: History, args: Namespace) -> None:
    """Remove entries with their folders."""
    entries = {entry.id: entry for entry in map(history.get, args.entries)}
    for id, entry in entries.items():
        say(
            f"{id}: {entry.pipeline} of {entry.experiment or 'no experiment'}, stored "
            f"{entry.created}"
        )
    if not args.yes:
        say("Remove, with all files? [y/N]")
        if not sys.stdin.isatty() or sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise errors.InputError("nothing was removed; --yes removes without asking")
    for id, entry in entries.items():
        history.remove(entry)
        say(f"{id}: removed")


@command([YES])
def doctor_(history: History, args: Namespace) -> None:
    """Check the database, documents, artefacts and folders; --yes repairs what can be repaired."""
    repaired, left = doctor.mend(history) if args.yes else ([], doctor.examine(history))
    for finding in repaired:
        write(f"repaired: {escape.printable(finding.what)}: {finding.repair}\n".encode())
    for finding in left:
        write(f"{escape.printable(finding.what)}\n  {_remedy(finding)}\n".encode())
    faults = sum(finding.is_fault for finding in left)
    if faults:
        raise errors.HistoryError(f"findings in {history.root}: {faults}")
    rest = "all else" if left else "all"
    say(f"{history.root}: {rest} is well")


def _remedy(finding: doctor.Finding) -> str:
    if finding.repair:
        return f"--yes would {finding.repair}"
    return "cannot be repaired" if finding.is_fault else "left as it is"


def _matching(history: History, args: Namespace) -> list[Entry]:
    """Return the entries that are named, if any are, as far as they match."""
    keys = ("experiment", "pipeline", "task", "status", *ONE)
    wanted = {key: value for key, value in vars(args).items() if key in keys and value is not None}
    for key, noun in ONE.items():
        if key in wanted:
            ids = {getattr(entry, key): None for entry in history.entries()}
            wanted[key] = history.one_of(noun, wanted[key], list(filter(None, ids)))
    entries = history.entries(**wanted)
    if "entries" in args and args.entries:
        named = [history.get(reference).id for reference in args.entries]
        entries = [entry for entry in entries if entry.id in named]
    if args.tag is not None:
        entries = [entry for entry in entries if args.tag in entry.tags]
    if not entries:
        filters = " that match" if args.tag or wanted else ""
        say(f"no entries in {history.root}{filters}")
    return entries


def _listed(args: Namespace, rows: list[AnyRow], reverse: bool) -> list[AnyRow]:
    """Return the rows that are asked for in the order asked for; the last are the first to stay.

    Arguments: `reverse`, whether the last shall be the first, if no other order is asked for.
    """
    if args.limit < 1:
        raise errors.InputError("--limit must be above 0")
    if args.sort and rows:
        return in_order(rows, args.sort, args.reverse)[: args.limit]
    kept = rows[-args.limit :]
    return kept[::-1] if reverse else kept


def _data(args: Namespace, rows: Sequence[AnyRow]) -> bytes | None:
    """Return rows as a program reads them, where that is asked for."""
    if args.csv:
        return to_csv(rows, args.columns)
    if args.json:
        return _json([row.document for row in rows])
    return None


def _json(content: object) -> bytes:
    return files.to_json(content, indent=True) + b"\n"


def _bytes(output: Output, wide: bool) -> bytes:
    """Return what a command answers as it goes to stdout: a terminal sees only characters to print,
    and lines.
    """
    if isinstance(output, Page):
        from history.view.terminal import render

        return render(output, wide).encode(sys.stdout.encoding or "utf-8", "replace")
    if not output or not sys.stdout.isatty():
        return output or b""
    return escape.printable(output.decode().replace("\r\n", "\n"), newlines=True).encode()


def write(data: bytes) -> None:
    """Write to stdout, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(message: str) -> None:
    """Write one line to stderr, in which a name out of a file cannot move the cursor."""
    sys.stderr.write(f"{escape.printable(' '.join(message.split()))}\n")
