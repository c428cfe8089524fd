"""`python -m history`: what experiment runs left behind, for people and, with --json, for
programs.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from history.catalogue import History
from history.entry import STATUSES
from history.errors import ExperimentError, InputError
from history.view import commands

REFERENCE = "an id, a unique prefix of one, or a position: @-1 the newest, @0 the oldest"


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other wrong input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and exiting."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 history damaged or no room, 2 wrong input,
    130 interrupted.
    """
    try:
        args = _parser().parse_args(argv)
        commands.write(args.run(_history(args.root, new=args.makes_root), args))
    except ExperimentError as error:
        commands.say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        if not isinstance(error, BrokenPipeError):  # a reader, `head` say, that has what it wanted
            commands.say(f"error: {error}")
            return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> Parser:
    root = Parser(add_help=False)
    # Without a default of its own, so that it does not undo a --root before the subcommand.
    root.add_argument(
        "--root",
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="the history's folder (default: results)",
    )
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print strict JSON and nothing else")
    filters = Parser(add_help=False)
    for key in ("experiment", "pipeline", "task"):
        filters.add_argument(f"--{key}", metavar="NAME", help=f"only entries of this {key}")

    yes = Parser(add_help=False)
    yes.add_argument("--yes", action="store_true", help="do it without asking")

    parser = Parser(prog="python -m history", description=__doc__)
    parser.add_argument(
        "--root", default="results", metavar="DIR", help="the history's folder (default: results)"
    )
    parser.set_defaults(makes_root=False)
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    _add_list(add("list", parents=[root, filters, output], help="list the entries, oldest first"))
    _add_show(add("show", parents=[root, output], help="show one entry"))
    _add_compare(add("compare", parents=[root, output], help="say how two entries differ"))
    _add_best(add("best", parents=[root, filters, output], help="show the best entry of each task"))
    _add_export(
        add("export", parents=[root], help="write entries for other programs, or for another root")
    )
    _add_import(add("import", parents=[root], help="take in what was exported, or made elsewhere"))
    _add_remove(add("remove", parents=[root, yes], help="remove entries with their folders"))
    _add_doctor(
        add("doctor", parents=[root, yes], help="check the database, the entries and their folders")
    )
    return parser


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the entries, oldest first. A KEY is a column, or a dotted key of the entries' documents such as "
        "validation.metrics.accuracy or best.values.model.dropout."
    )
    parser.add_argument("--status", choices=STATUSES, help="only entries of this status")
    parser.add_argument("--sort", metavar="KEY", help="smallest first; entries without it last")
    parser.add_argument(
        "--reverse", action="store_true", help="newest first or, with --sort, largest first"
    )
    parser.add_argument("--columns", metavar="KEY,...", help="the columns of the table")
    parser.add_argument(
        "--limit", type=_count, metavar="N", help="the N newest or, with --sort, the first N"
    )
    parser.set_defaults(run=commands.list_)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entry", metavar="ID", help=REFERENCE)
    parser.set_defaults(run=commands.show)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say how two entries differ: their metrics, and the config, data and code that led to them."
    )
    parser.add_argument("one", metavar="A", help=REFERENCE)
    parser.add_argument("other", metavar="B", help="likewise")
    parser.set_defaults(run=commands.compare)


def _add_best(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the best complete or budget entry of each task. With --json: one object, "
        "the entry's document; where several tasks are in question, --task must choose one."
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="rank by this metric (default: the task's own)"
    )
    parser.set_defaults(run=commands.best)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the entries named or, without ID, all as far as they match. Without FILE, to stdout."
    )
    parser.add_argument(
        "entries", nargs="*", metavar="ID", help=f"{REFERENCE}; to stand before --csv and --json"
    )
    for key in ("pipeline", "task"):
        parser.add_argument(f"--{key}", metavar="NAME", help=f"only entries of this {key}")
    parser.add_argument("--status", choices=STATUSES, help="only entries of this status")
    kinds = parser.add_mutually_exclusive_group(required=True)
    for kind, what in (
        ("csv", "a row per entry, a column per key"),
        ("json", "an array of the entries' documents"),
    ):
        kinds.add_argument(f"--{kind}", nargs="?", const=commands.STDOUT, metavar="FILE", help=what)
    what = "an experiment file that runs the one ID's pipeline"
    kinds.add_argument("--experiment", dest="as_experiment", action="store_true", help=what)
    kinds.add_argument(
        "--archive", metavar="FILE", help="whole entries in one file, which `import` takes"
    )
    parser.set_defaults(run=commands.export)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Take in an archive made by `export --archive`, a Keras Tuner project folder (it holds oracle.json), or the "
        "best_executions.json of an older kind of history."
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the file or folder")
    parser.add_argument(
        "--task", metavar="NAME", help="what a Keras Tuner folder does not say: classification, ..."
    )
    parser.add_argument(
        "--objective", metavar="NAME", help="likewise: the metric that its trials were scored by"
    )
    parser.add_argument("--direction", choices=("min", "max"), help="likewise: of the objective")
    parser.set_defaults(run=commands.import_, makes_root=True)


def _add_remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entries", nargs="+", metavar="ID", help=REFERENCE)
    parser.set_defaults(run=commands.remove)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check the database, every document, artefact and folder; --yes repairs what can be repaired."
    parser.set_defaults(run=commands.doctor)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _history(root: str, *, new: bool) -> History:
    history = History(root)
    if not history.root.is_dir() and not (new and not history.root.exists()):
        what = "is not a folder" if history.root.exists() else "does not exist"
        raise InputError(f"{history.root} {what}; name the folder of a history with --root")
    return history


if __name__ == "__main__":
    # it would walk all documents again and again, in a process that lives for a second
    gc.disable()
    sys.exit(main())
