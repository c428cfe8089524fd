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

from foundation import errors, escape, files, trees
from history import Entry, History, doctor, ranking, schema

Run = Callable[[History, argparse.Namespace], bytes | None]
Argument = tuple[tuple[str, ...], dict[str, Any]]  # what argparse's `add_argument` takes


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other wrong input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and exiting."""
        raise errors.InputError(f"{message}; see `{self.prog} --help`")


def _ids(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return what a shell completes: the ids, without a look at what else the documents say."""
    return [str(row["id"]) for row in History(parsed_args.root).store.all()]


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
        group = own.add_mutually_exclusive_group(required=True) if one_of else own
        for each in arguments:
            _add_argument(own, each)
        for each in one_of:
            _add_argument(group, each)
        return run

    return add


def _add_argument(to: Any, new: Argument) -> None:
    names, options = new
    added = to.add_argument(*names, **options)
    if options.get("help", "").startswith(REFERENCE):
        added.completer = _ids


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
subparsers = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

STDOUT = Path("-")
FILE: dict[str, Any] = {"nargs": "?", "const": STDOUT, "type": Path, "metavar": "FILE"}
REFERENCE = "an id, a unique prefix of one, or a position: @-1 the newest, @0 the oldest"
FILTERS = [
    argument(f"--{key}", metavar="NAME", help=f"only entries of this {key}")
    for key in ("experiment", "pipeline", "task", "tag")
]
STATUS = argument("--status", choices=schema.STATUSES, help="only entries of this status")
ONE = {"run_id": "run", "sweep": "sweep"}  # what an option names, by the key of documents
OF_ONE = [
    argument(
        f"--{noun}", dest=key, metavar="ID", help=f"only entries of this {noun}; a prefix will do"
    )
    for key, noun in ONE.items()
]
JSON = argument("--json", action="store_true", help="print strict JSON and nothing else")
WIDE = argument("--wide", action="store_true", help="every column, however narrow the terminal")
TABLE = [
    JSON,
    argument("--csv", action="store_true", help="print CSV: the columns or, without, every key"),
    argument("--sort", metavar="KEY", help="sort by it, smallest first; those without it last"),
    argument("--reverse", action="store_true", help="reverse the order"),
    argument(
        "--columns",
        type=lambda keys: keys.replace(" ", "").split(","),
        metavar="KEY,...",
        help="the columns of the table",
    ),
    WIDE,
    argument(
        "--limit",
        type=int,
        default=sys.maxsize,
        metavar="N",
        help="N of them: the newest entries, the best trials or, with --sort, the first",
    ),
]
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
                f"{history.root} does not exist or is not a folder; choose another with --root"
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


@command(*FILTERS, STATUS, *OF_ONE, *TABLE)
def list_(history: History, args: argparse.Namespace) -> bytes:
    """List the entries, oldest first; below them, the runs that are at work.

    A KEY is a column; a dotted key of the entries' documents, such as validation.metrics.accuracy
    or best.values.model.dropout; or one of their configs: config.fit.batch_size.
    """
    entries = _matching(history, args)
    if any(key.startswith("config.") for key in [args.sort or "", *(args.columns or ())]):
        from history.config import with_config

        entries = [*map(with_config, entries)]
    return _table(
        args,
        entries,
        lambda pages, rows: pages.overview(history.root, rows, args.columns, args.wide),
    )


@command(argument("entry", metavar="ID", help=REFERENCE), *TABLE)
def trials(history: History, args: argparse.Namespace) -> bytes:
    """List the trials of an entry with their values, best first.

    A KEY is one of a trial's, such as score, seconds, status or best_epoch; or a hyperparameter, of
    whose name the end is enough where no other has it: dropout for model.dropout.
    """
    from history.view import pages

    entry = history.get(args.entry)
    found = [Entry(trial.row(), entry.root) for trial in entry.trial_records()]
    if not found:
        raise errors.InputError(f"entry {entry.id} has no trials")
    direction = entry.value("search.objective.direction", "min")
    found.sort(key=lambda trial: ranking.merit(trial.value("score"), direction), reverse=True)
    keys = {}
    for name, end in pages.short_names(found).items():
        keys[name] = f"values.{name}"
        keys[end] = f"values.{name}"
    args.sort = keys.get(args.sort, args.sort)
    if args.csv and not args.columns:
        rows = [trees.flat(trial.document) for trial in found]
        args.columns = list(dict.fromkeys(key for row in rows for key in row))
    if args.columns:
        args.columns = [keys.get(key, key) for key in args.columns]
    return _table(
        args, found[::-1], lambda pages, rows: pages.trial_list(rows, args.columns, args.wide)
    )


@command(
    argument("entry", metavar="ID", help=REFERENCE),
    argument("tags", nargs="*", metavar="TAG", help="tags to add"),
    argument("--remove", action="append", default=[], metavar="TAG", help="tags to remove"),
    argument("--name", metavar="TEXT", help='a name of your own; "" removes it'),
    argument("--note", metavar="TEXT", help='a note; "" removes it'),
)
def tag(history: History, args: argparse.Namespace) -> None:
    """Change the tags, the name and the note of an entry.

    `list --tag` finds entries by a tag. Labels decide nothing: the entry is the same result.
    """
    with history.store.locked():
        entry = history.get(args.entry)
        tags = dict.fromkeys(map(str, [*entry.value("tags", []), *args.tags]))
        changes: dict[str, Any] = {"tags": [tag for tag in tags if tag not in args.remove] or None}
        if args.name is not None:
            changes["name"] = args.name or None
        if args.note is not None:
            changes["note"] = args.note or None
        history.store.change(entry.id, changes)
    labels = []
    for key, label in (entry.document | changes).items():
        if key in schema.LABELS and label:
            value = ", ".join(label) if key == "tags" else label
            labels.append(f"{key} {value}")
    say(f"{entry.id}: {'; '.join(labels) or 'no labels'}")


@command(argument("entry", metavar="ID", help=REFERENCE), JSON)
def show(history: History, args: argparse.Namespace) -> bytes:
    """Show one entry: its result, its learning curves, and everything that was recorded."""
    entry = history.get(args.entry)
    return _answer(args, entry.document, lambda pages: pages.entry_page(history, entry))


@command(
    argument("one", metavar="A", help=REFERENCE),
    argument("other", metavar="B", help=REFERENCE),
    argument("more", nargs="*", metavar="C", help=f"{REFERENCE}; each is compared with A"),
    JSON,
)
def compare(history: History, args: argparse.Namespace) -> bytes:
    """Say how entries differ: their metrics, and the config, data and code that led to them.

    With --json: one object, or for more than two an array of one for each of the others and A.
    """
    from history.view.compare import compare

    entries = [*map(history.get, [args.one, args.other, *args.more])]
    found = [compare(history, entries[0], other) for other in entries[1:]]
    return _answer(
        args,
        found if args.more else found[0],
        lambda pages: pages.comparison_page(entries, found),
    )


@command(
    *FILTERS,
    JSON,
    WIDE,
    argument("--metric", metavar="NAME", help="rank by this metric (default: the task's own)"),
)
def best(history: History, args: argparse.Namespace) -> bytes:
    """Show the best complete or budget entry of each task.

    With --json: one object, the entry's document; where several tasks are in question, --task must
    choose one.
    """
    entries = [entry for entry in _matching(history, args) if entry.status != "failed"]
    best: dict[str, tuple[str, list[ranking.Ranked]]] = {}
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
            f"no complete entry in {history.root} matches and has this "
            f"metric{errors.suggest(args.metric or '', known)} (known: "
            f"{', '.join(known) or 'none'})"
        )
    if args.json and len(best) > 1:
        raise errors.InputError(f"several tasks match; choose one with --task: {', '.join(best)}")
    (_, ranked), *_ = best.values()
    return _answer(args, ranked[0].entry.document, lambda pages: pages.best_list(best, args.wide))


@command(
    argument("entries", nargs="*", metavar="ID", help=f"{REFERENCE}; before --csv and --json"),
    *FILTERS[1:],
    STATUS,
    one_of=(
        argument("--csv", **FILE, help="one row per entry, one column per key"),
        argument("--json", **FILE, help="an array of the entries' documents"),
        argument("--card", **FILE, help="a model card of the one ID, as Markdown"),
        argument(
            "--experiment",
            dest="as_experiment",
            action="store_true",
            help="an experiment file that runs the one ID's pipeline",
        ),
        argument("--archive", type=Path, metavar="FILE", help="whole entries, for `import`"),
        argument(
            "--optuna",
            type=Path,
            metavar="FILE",
            help="the one ID's trials as a study, which Optuna and its dashboard open",
        ),
    ),
)
def export(history: History, args: argparse.Namespace) -> bytes | None:
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
    data = _exported(args, entries)
    if file == STDOUT:
        return _shown(data)
    _check_target(history, file)
    if args.archive:
        from history.exchange.archive import write_archive

        write_archive(entries, file)
    elif args.optuna:
        from history.exchange.optuna_journal import write_journal

        write_journal(entries[0], file)
    else:
        files.write_atomic(file, data)
    say(f"entries in {file}: {len(entries)}")
    return None


def _exported(args: argparse.Namespace, entries: Sequence[Entry]) -> bytes:
    """Return what an export writes; nothing for the forms that only a file can take."""
    if args.card:
        from history.exchange.card import card

        return card(entries[0])
    if args.csv:
        return to_csv(entries)
    if args.json:
        return _json([entry.document for entry in entries])
    return b""


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
    argument("entries", nargs="*", metavar="ID", help=f"{REFERENCE}; without one, all that match"),
    *FILTERS,
    STATUS,
    *OF_ONE,
    argument("--output", type=Path, required=True, metavar="DIR", help="the folder for its pages"),
)
def report(history: History, args: argparse.Namespace) -> None:
    """Write a report for a browser: an index of entries, and a page of each.

    The folder needs neither network nor server. A report that is there is brought up to date.
    """
    from history.report import pages

    entries = _matching(history, args)
    pages.write(history, entries, args.output)
    say(f"entries in {args.output / 'index.html'}: {len(entries)}")


@command(
    argument("path", type=Path, metavar="PATH", help="the file or folder"),
    argument(
        "--task",
        metavar="NAME",
        help="the task, if a Keras Tuner folder does not show it: classification, ...",
    ),
    argument(
        "--objective", metavar="NAME", help="likewise, the metric by which its trials were scored"
    ),
    argument(
        "--direction", choices=("min", "max"), help="likewise, the direction of the objective"
    ),
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
                f"{args.path}: an archive contains all of this; remove --task, --objective and "
                "--direction"
            )
        taken = read_archive(history, args.path)
    for entry in taken:
        say(f"{entry.id}: imported")
        for note in entry.value("notes", []):
            say(f"note: {note}")
    if not taken:
        say(f"every entry of {args.path} is already in {history.root}; nothing was changed")


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
        say("Remove, with all files? [y/N]")
        if not sys.stdin.isatty() or sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise errors.InputError("nothing was removed; --yes removes without asking")
    for id, entry in entries.items():
        history.remove(entry)
        say(f"{id}: removed")


@command(YES)
def doctor_(history: History, args: argparse.Namespace) -> None:
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


def _matching(history: History, args: argparse.Namespace) -> list[Entry]:
    """Return the entries that are named, if any are, as far as they match."""
    wanted = {key: getattr(args, key, None) for key in ("experiment", "pipeline", "task", "status")}
    for key, noun in ONE.items():
        reference = getattr(args, key, None)
        if reference is not None:
            ids = [entry.value(key) for entry in history.entries()]
            wanted[key] = history.one_of(noun, reference, dict.fromkeys(filter(None, ids)))
    entries = history.entries(**wanted)
    named = {history.get(name).id for name in getattr(args, "entries", ())}
    if named:
        entries = [entry for entry in entries if entry.id in named]
    if args.tag is not None:
        entries = [entry for entry in entries if args.tag in map(str, entry.value("tags", []))]
    if not entries:
        is_filtered = any([args.tag, *wanted.values()])
        filters = " that match" if is_filtered else ""
        say(f"no entries in {history.root}{filters}")
    return entries


def _table(
    args: argparse.Namespace, entries: list[Entry], page: Callable[[Any, list[Entry]], Any]
) -> bytes:
    """Return a table of entries or trials, the newest or best of which is the last, as asked for.

    Arguments: `page`, what makes it, given the module `pages` and those that are to be shown.
    """
    if args.limit < 1:
        raise errors.InputError("--limit must be above 0")
    if args.sort and entries:
        from history.view.pages import in_order

        entries = in_order(entries, args.sort, args.reverse)[: args.limit]
    else:
        entries = entries[-args.limit :]
        best_first = args.command == "trials"
        if args.reverse != best_first:
            entries.reverse()
    if args.csv:
        return _shown(to_csv(entries, args.columns))
    return _answer(args, [e.document for e in entries], lambda pages: page(pages, entries))


def _answer(args: argparse.Namespace, found: object, page: Callable[[Any], Any]) -> bytes:
    """Return what was found as JSON, where that is asked for, or the page of it.

    Arguments: `page`, what makes it, given the module `pages`.
    """
    if args.json:
        return _shown(_json(found))
    from history.view import pages, text

    return text.render(page(pages)).encode(sys.stdout.encoding or "utf-8", "replace")


def _json(content: object) -> bytes:
    return files.to_json(content, indent=True) + b"\n"


def to_csv(entries: Sequence[Entry], chosen: Sequence[str] | None = None) -> bytes:
    """Return the entries as CSV in UTF-8 (RFC 4180) with a header: the chosen columns or, without,
    all keys; what an entry lacks is empty. A spreadsheet runs nothing of it.
    """
    if chosen:
        from history.view.pages import plain

        rows = plain(entries, chosen)
    else:
        rows = [trees.flat(entry.document) for entry in entries]
    columns = chosen or trees.columns_of(rows)
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
