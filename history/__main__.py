"""`python -m history`: what experiment runs left behind, for people and, with --json, for programs."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from history.catalogue import History
from history.entry import STATUSES, Entry
from history.errors import ExperimentError, InputError
from history.files import to_json
from history.manager import HistoryManager
from history.ranking import Ranked


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other wrong input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and exiting."""
        raise InputError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 history damaged, 2 wrong input, 130 interrupted."""
    try:
        args = _parser().parse_args(argv)
        history = _history(args.root)
        _write({"list": _list, "show": _show, "best": _best}[args.command](history, args))
    except ExperimentError as error:
        _say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:  # the reader, `head` say, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> Parser:
    root = Parser(add_help=False)
    # Without a default of its own, so that it does not undo a --root before the subcommand.
    root.add_argument(
        "--root", default=argparse.SUPPRESS, metavar="DIR", help="the history's folder (default: results)"
    )
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print strict JSON and nothing else")
    filters = Parser(add_help=False)
    for key in ("experiment", "pipeline", "task"):
        filters.add_argument(f"--{key}", metavar="NAME", help=f"only entries of this {key}")

    parser = Parser(prog="python -m history", description=__doc__)
    parser.add_argument("--root", default="results", metavar="DIR", help="the history's folder (default: results)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", parents=[root, filters, output], help="list the entries, oldest first")
    listing.add_argument("--status", choices=STATUSES, help="only entries of this status")
    show = commands.add_parser("show", parents=[root, output], help="show one entry")
    show.add_argument(
        "entry",
        metavar="ID",
        help="an id, a unique prefix of one, or a position: @-1 the newest, @0 the oldest",
    )
    best = commands.add_parser(
        "best",
        parents=[root, filters, output],
        help="show the best entry of each task",
        description="Show the best complete or budget entry of each task. With --json: one object, "
        "the entry's document; where several tasks are in question, --task must choose one.",
    )
    best.add_argument("--metric", metavar="NAME", help="rank by this metric (default: the task's own)")
    return parser


def _history(root: str) -> History:
    history = History(root)
    if not history.root.is_dir():
        what = "is not a folder" if history.root.exists() else "does not exist"
        raise InputError(f"{history.root} {what}; name the folder of a history with --root")
    return history


def _list(history: History, args: argparse.Namespace) -> bytes:
    entries = history.entries(experiment=args.experiment, pipeline=args.pipeline, task=args.task, status=args.status)
    if not entries:
        asked = any((args.experiment, args.pipeline, args.task, args.status))
        _say(f"no entries in {history.root}{' that match' if asked else ''}")
    if args.json:
        return _json([entry.document for entry in entries])
    if not entries:
        return b""
    from history.tables import entry_list
    from history.text import render

    return _text(render(entry_list(history, entries)))


def _show(history: History, args: argparse.Namespace) -> bytes:
    entry = history.get(args.entry)
    if args.json:
        return _json(entry.document)
    from history.tables import entry_page
    from history.text import render

    return _text(render(entry_page(history, entry)))


def _best(history: History, args: argparse.Namespace) -> bytes:
    by_task: dict[str, list[Entry]] = {}
    for entry in history.entries(experiment=args.experiment, pipeline=args.pipeline, task=args.task):
        if entry.status != "failed":
            by_task.setdefault(entry.task, []).append(entry)
    if not by_task:
        raise InputError(f"no complete entry in {history.root} matches; see `python -m history list`")
    managers = {task: history.manager_of(entries[-1]) for task, entries in by_task.items()}
    # A metric chooses the tasks that have it; if none has, ranking says which metrics there are.
    tasks = [task for task in managers if args.metric in (None, *managers[task].metrics)] or list(managers)
    if len(tasks) > 1 and args.json:
        raise InputError(f"{history.root} holds entries of several tasks; choose with --task: {', '.join(tasks)}")
    best = {task: _ranked(managers[task], by_task[task], args.metric) for task in tasks}
    if args.json:
        return _json(best[tasks[0]][1][0].entry.document)
    from history.tables import best_list
    from history.text import render

    return _text(render(best_list(best)))


def _ranked(manager: HistoryManager, entries: list[Entry], metric: str | None) -> tuple[str, list[Ranked]]:
    chosen = metric or manager.ranking
    ranked = manager.rank(entries, chosen)
    if ranked[0].mean is None:
        raise InputError(f"no entry of task {manager.task} in {manager.root} has the metric {chosen!r}")
    return chosen, ranked


def _json(value: object) -> bytes:
    return to_json(value, indent=True) + b"\n"


def _text(text: str) -> bytes:
    return text.encode(sys.stdout.encoding or "utf-8", "replace")


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _say(message: str) -> None:
    """Write one line to stderr, in which a name out of a file cannot move the cursor."""
    line = " ".join(message.split())
    sys.stderr.write("".join(letter if letter.isprintable() else "?" for letter in line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
