"""The commands of `python -m history`: the arguments of each, and what it does with them.

A command returns what goes to stdout, if anything, so that one that fails writes nothing there.
What only one command or form of output needs is imported there: a list in JSON imports no rich,
nothing imports pandas or Keras.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from inspect import getdoc
from pathlib import Path
from typing import Any, NoReturn

from history import Entry, History, doctor, errors, escape, files, schema, trees

Run = Callable[[History, argparse.Namespace], bytes | None]
Argument = tuple[tuple[str, ...], dict[str, Any]]  # what argparse's `add_argument` takes


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other wrong input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and exiting."""
        raise errors.InputError(f"{message}; see `{self.prog} --help`")


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument of a command, as argparse has it."""
    return names, options


def command(*arguments: Argument, one_of: Sequence[Argument] = ()) -> Callable[[Run], Run]:
    """Return a decorator that makes a function the command of its name, with its docstring as help.

    Arguments: `one_of`, of which exactly one must be given.
    """

    def add(run: Run) -> Run:
        text = getdoc(run) or ""
        own = subparsers.add_parser(
            run.__name__.rstrip("_"), help=text.partition("\n\n")[0], description=text
        )
        own.set_defaults(run=run)
        # Without a default of its own, so that it does not undo a --root before the command.
        own.add_argument("--root", default=argparse.SUPPRESS, metavar="DIR", help=WHERE)
        for names, options in arguments:
            own.add_argument(*names, **options)
        if one_of:
            group = own.add_mutually_exclusive_group(required=True)
            for names, options in one_of:
                group.add_argument(*names, **options)
        return run

    return add


WHERE = "the history's folder (default: results)"
parser = Parser(
    prog="python -m history",
    description="What experiment runs left behind, for people and, with --json, for programs.",
)
parser.add_argument("--root", default="results", metavar="DIR", help=WHERE)
subparsers = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

STDOUT = Path("-")
FILE: dict[str, Any] = {"nargs": "?", "const": STDOUT, "type": Path, "metavar": "FILE"}
REFERENCE = "an id, a unique prefix of one, or a position: @-1 the newest, @0 the oldest"
FILTERS = [
    argument(f"--{key}", metavar="NAME", help=f"only entries of this {key}")
    for key in ("experiment", "pipeline", "task")
]
STATUS = argument("--status", choices=schema.STATUSES, help="only entries of this status")
JSON = argument("--json", action="store_true", help="print strict JSON and nothing else")
YES = argument("--yes", action="store_true", help="do it without asking")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 history damaged or no room, 2 wrong input,
    130 interrupted.
    """
    try:
        args = parser.parse_args(argv)
        history = History(args.root)
        if not history.root.is_dir() and args.command != "import":  # which makes it
            raise errors.InputError(
                f"{history.root} is not there or no folder; name another with --root"
            )
        write(args.run(history, args) or b"")
    except errors.ExperimentError as error:
        say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        if not isinstance(error, BrokenPipeError):  # a reader, `head` say, that has what it wanted
            say(f"error: {error}")
            return 1
    except KeyboardInterrupt:
        return 130
    return 0


@command(
    *FILTERS,
    STATUS,
    argument("--sweep", metavar="ID", help="only entries of this sweep: a unique prefix will do"),
    JSON,
    argument("--sort", metavar="KEY", help="smallest first; entries without it last"),
    argument("--reverse", action="store_true", help="newest or, with --sort, largest first"),
    argument(
        "--columns",
        type=lambda keys: keys.replace(" ", "").split(","),
        metavar="KEY,...",
        help="the columns of the table",
    ),
    argument(
        "--limit",
        type=int,
        default=sys.maxsize,
        metavar="N",
        help="the N newest or, with --sort, the first N",
    ),
)
def list_(history: History, args: argparse.Namespace) -> bytes:
    """List the entries, oldest first.

    A KEY is a column, or a dotted key of the entries' documents such as validation.metrics.accuracy
    or best.values.model.dropout.
    """
    if args.limit < 1:
        raise errors.InputError("--limit must be above 0")
    entries = _matching(history, args)
    if args.sort and entries:
        from history.view.pages import in_order

        entries = in_order(entries, args.sort, args.reverse)[: args.limit]
    else:
        entries = entries[-args.limit :][:: -1 if args.reverse else 1]
    return _answer(
        args,
        [entry.document for entry in entries],
        lambda pages: pages.entry_list(entries, args.columns or pages.COLUMNS) if entries else "",
    )


@command(argument("entry", metavar="ID", help=REFERENCE), JSON)
def show(history: History, args: argparse.Namespace) -> bytes:
    """Show one entry."""
    entry = history.get(args.entry)
    return _answer(args, entry.document, lambda pages: pages.entry_page(history, entry))


@command(
    argument("one", metavar="A", help=REFERENCE),
    argument("other", metavar="B", help="likewise"),
    JSON,
)
def compare(history: History, args: argparse.Namespace) -> bytes:
    """Say how two entries differ: their metrics, and the config, data and code that led to them."""
    from history.view.compare import compare

    one, other = history.get(args.one), history.get(args.other)
    found = compare(history, one, other)
    return _answer(args, found, lambda pages: pages.comparison_page(one, other, found))


@command(
    *FILTERS,
    JSON,
    argument("--metric", metavar="NAME", help="rank by this metric (default: the task's own)"),
)
def best(history: History, args: argparse.Namespace) -> bytes:
    """Show the best complete or budget entry of each task.

    With --json: one object, the entry's document; where several tasks are in question, --task must
    choose one.
    """
    entries = [entry for entry in _matching(history, args) if entry.status != "failed"]
    best = {}
    known: list[str] = []
    for task in dict.fromkeys(entry.task for entry in entries):
        candidates = [entry for entry in entries if entry.task == task]
        manager = history.manager_of(candidates[-1])
        ranked_by = [name for name, way in manager.directions(candidates).items() if way]
        known += ranked_by
        metric = args.metric or manager.ranking
        if metric in ranked_by:
            places = manager.rank(candidates, metric)
            if places[0].mean is None:
                say(f"no entry of task {task} has the metric {metric!r}")
            else:
                best[task] = (metric, places)
    if not best:
        raise errors.InputError(
            f"no complete entry in {history.root} matches and has the metric that is asked for"
            f"{errors.suggest(args.metric or '', known)} (known: {', '.join(known) or 'none'})"
        )
    if args.json and len(best) > 1:
        raise errors.InputError(f"several tasks match; choose one with --task: {', '.join(best)}")
    (_, ranked), *_ = best.values()
    return _answer(args, ranked[0].entry.document, lambda pages: pages.best_list(best))


@command(
    argument("entries", nargs="*", metavar="ID", help=f"{REFERENCE}; before --csv and --json"),
    *FILTERS[1:],
    STATUS,
    one_of=(
        argument("--csv", **FILE, help="a row per entry, a column per key"),
        argument("--json", **FILE, help="an array of the entries' documents"),
        argument(
            "--experiment",
            dest="as_experiment",
            action="store_true",
            help="an experiment file that runs the one ID's pipeline",
        ),
        argument("--archive", type=Path, metavar="FILE", help="whole entries, for `import`"),
    ),
)
def export(history: History, args: argparse.Namespace) -> bytes | None:
    """Write entries for other programs, or for another root.

    Those named or, without ID, all as far as they match. Without FILE, to stdout.
    """
    entries = _matching(history, args)
    if args.entries:
        named = {history.get(name).id for name in args.entries}
        entries = [entry for entry in entries if entry.id in named]
    if not entries:
        raise errors.InputError("nothing to export: no entry matches; nothing was written")
    if args.as_experiment:
        if len(entries) != 1:
            raise errors.InputError("--experiment writes the pipeline of one entry: name one ID")
        from history.config import experiment_yaml

        return experiment_yaml(entries[0]).encode()
    file = args.archive or args.json or args.csv
    if args.archive is None:
        data = (
            to_csv(entries)
            if args.csv
            else files.to_json([entry.document for entry in entries], indent=True) + b"\n"
        )
        if file == STDOUT:
            return _shown(data)
    place = file.resolve()
    if not place.parent.is_dir() or (place.exists() and not place.is_file()):
        raise errors.InputError(
            f"cannot write {file}: it is not a file, or its folder does not exist"
        )
    if place.is_relative_to(history.root / "entries") or (
        place.parent == history.root and place.name.startswith("history.")
    ):
        raise errors.InputError(f"cannot write {file}: it would overwrite the history itself")
    if args.archive:
        from history.exchange.archive import write_archive

        write_archive(entries, file)
    else:
        files.write_atomic(file, data)
    say(f"entries in {file}: {len(entries)}")
    return None


@command(
    argument("path", type=Path, metavar="PATH", help="the file or folder"),
    argument(
        "--task",
        metavar="NAME",
        help="what a Keras Tuner folder does not say: classification, ...",
    ),
    argument(
        "--objective", metavar="NAME", help="likewise: the metric that its trials were scored by"
    ),
    argument("--direction", choices=("min", "max"), help="likewise: of the objective"),
)
def import_(history: History, args: argparse.Namespace) -> None:
    """Take in what was exported, or made elsewhere.

    An archive made by `export --archive`, or a Keras Tuner project folder (it holds oracle.json).
    """
    if not (args.path.is_file() or args.path.is_dir()):
        raise errors.InputError(f"there is nothing to import at {args.path.resolve()}")
    if args.path.is_dir():
        from history.exchange.keras_tuner import import_project, read_project

        taken = import_project(
            history, read_project(args.path, args.task, args.objective, args.direction)
        )
    else:
        from history.exchange.archive import read_archive

        if args.task or args.objective or args.direction:
            raise errors.InputError(
                f"{args.path}: an archive says all itself; leave out --task, --objective and "
                f"--direction"
            )
        taken = read_archive(history, args.path)
    for entry in taken:
        say(f"{entry.id}: imported")
        for note in entry.value("notes", []):
            say(f"note: {note}")
    if not taken:
        say(f"every entry of {args.path} is in {history.root} already; nothing was changed")


@command(argument("entries", nargs="+", metavar="ID", help=REFERENCE), YES)
def remove(history: History, args: argparse.Namespace) -> None:
    """Remove entries with their folders."""
    entries = {entry.id: entry for entry in map(history.get, args.entries)}
    for id, entry in entries.items():
        say(
            f"{id}: {entry.pipeline} of {entry.experiment or 'no experiment'}, stored "
            f"{entry.created}"
        )
    if not args.yes:
        say("Remove with all files? [y/N]")
        if not sys.stdin.isatty() or sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise errors.InputError("nothing was removed; --yes removes without asking")
    for id, entry in entries.items():
        history.remove(entry)
        say(f"{id}: removed")


@command(YES)
def doctor_(history: History, args: argparse.Namespace) -> None:
    """Check the database, every document, artefact and folder; --yes repairs what can be
    repaired.
    """
    repaired, left = doctor.mend(history) if args.yes else ([], doctor.examine(history))
    for finding in repaired:
        write(f"repaired: {escape.printable(finding.what)}: {finding.repair}\n".encode())
    for finding in left:
        how = (
            f"--yes would {finding.repair}"
            if finding.repair
            else "cannot be repaired"
            if finding.is_fault
            else "left as it is"
        )
        write(f"{escape.printable(finding.what)}\n  {how}\n".encode())
    if faults := sum(finding.is_fault for finding in left):
        raise errors.HistoryError(f"findings in {history.root}: {faults}")
    say(f"{history.root}: all {'else ' if left else ''}is well")


def _matching(history: History, args: argparse.Namespace) -> list[Entry]:
    wanted = {
        key: getattr(args, key, None)
        for key in ("experiment", "pipeline", "task", "status", "sweep")
    }
    if (sweep := wanted["sweep"]) is not None:
        sweeps = dict.fromkeys(found for e in history.entries() if (found := e.value("sweep")))
        wanted["sweep"] = history.one_of("sweep", sweep, sweeps)
    entries = history.entries(**wanted)
    if not entries:
        say(f"no entries in {history.root}{' that match' if any(wanted.values()) else ''}")
    return entries


def _answer(args: argparse.Namespace, found: object, page: Callable[[Any], Any]) -> bytes:
    """Return what was found as JSON, where that is asked for, or the page of it.

    Arguments: `page`, what makes it, given the module `pages`.
    """
    if args.json:
        return _shown(files.to_json(found, indent=True) + b"\n")
    from history.view import pages, text

    return text.render(page(pages)).encode(sys.stdout.encoding or "utf-8", "replace")


def to_csv(entries: Sequence[Entry]) -> bytes:
    """Return the entries as CSV in UTF-8 (RFC 4180) with a header; what an entry lacks is empty.
    A spreadsheet runs nothing of it.
    """
    rows = [trees.flat(entry.document) for entry in entries]
    columns = trees.columns_of(rows)
    return files.to_csv(
        [escape.spreadsheet_cell(row.get(column)) for column in columns]
        for row in [{column: column for column in columns}, *rows]  # the first is the header
    ).encode()


def _shown(data: bytes) -> bytes:
    """Return data as it goes to stdout: a terminal sees only characters to print, and lines."""
    text = data.decode().replace("\r\n", "\n") if sys.stdout.isatty() else ""
    return escape.printable(text, newlines=True).encode() or data


def write(data: bytes) -> None:
    """Write to stdout, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(message: str) -> None:
    """Write one line to stderr, in which a name out of a file cannot move the cursor."""
    sys.stderr.write(f"{escape.printable(' '.join(message.split()))}\n")
