"""What each command of `python -m history` does: from parsed arguments to what is written to
stdout.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from history.catalogue import History
from history.entry import Entry
from history.errors import ExperimentError, HistoryError, InputError
from history.files import to_json, write_atomic

if TYPE_CHECKING:
    from rich.console import RenderableType

STDOUT = "-"


def list_(history: History, args: argparse.Namespace) -> bytes:
    entries = _matching(history, args)
    if args.sort and entries:
        from history.view.pages import in_order

        entries = in_order(entries, args.sort, args.reverse)[: args.limit]
    else:
        entries = entries[-args.limit :] if args.limit else entries
        entries = entries[::-1] if args.reverse else entries
    if args.json:
        return _json([entry.document for entry in entries])
    if not entries:
        return b""
    from history.view.pages import COLUMNS, entry_list

    columns = [name.strip() for name in args.columns.split(",")] if args.columns else COLUMNS
    return _text(entry_list(entries, columns))


def _matching(history: History, args: argparse.Namespace) -> list[Entry]:
    wanted = {key: getattr(args, key, None) for key in ("experiment", "pipeline", "task", "status")}
    entries = history.entries(**wanted)
    if not entries:
        say(f"no entries in {history.root}{' that match' if any(wanted.values()) else ''}")
    return entries


def show(history: History, args: argparse.Namespace) -> bytes:
    entry = history.get(args.entry)
    if args.json:
        return _json(entry.document)
    from history.view.pages import entry_page

    return _text(entry_page(history, entry))


def compare(history: History, args: argparse.Namespace) -> bytes:
    from history.view.compare import compare

    one, other = history.get(args.one), history.get(args.other)
    found = compare(history, one, other)
    if args.json:
        return _json(found)
    from history.view.pages import comparison_page

    return _text(comparison_page(one, other, found))


def best(history: History, args: argparse.Namespace) -> bytes:
    by_task = _candidates(history, args)
    managers = {task: history.manager_of(entries[-1]) for task, entries in by_task.items()}
    # A metric chooses the tasks that have it; if none has, ranking says which metrics there are.
    tasks = [task for task in managers if args.metric in (None, *managers[task].metrics)] or list(
        managers
    )
    if len(tasks) > 1 and args.json:
        raise InputError(
            f"{history.root} holds entries of several tasks; choose with --task: {', '.join(tasks)}"
        )
    metrics = {task: args.metric or managers[task].ranking for task in tasks}
    best = {
        task: (metric, managers[task].rank(by_task[task], metric))
        for task, metric in metrics.items()
    }
    lacking = [task for task, (_, ranked) in best.items() if ranked[0].mean is None]
    for task in lacking:
        said = f"no entry of task {task} in {history.root} has the metric {best.pop(task)[0]!r}"
        if not best:
            raise InputError(said)
        say(said)
    if args.json:
        return _json(best[tasks[0]][1][0].entry.document)
    from history.view.pages import best_list

    return _text(best_list(best))


def _candidates(history: History, args: argparse.Namespace) -> dict[str, list[Entry]]:
    by_task: dict[str, list[Entry]] = {}
    for entry in history.entries(
        experiment=args.experiment, pipeline=args.pipeline, task=args.task
    ):
        if entry.status != "failed":
            by_task.setdefault(entry.task, []).append(entry)
    if not by_task:
        raise InputError(
            f"no complete entry in {history.root} matches; see `python -m history list`"
        )
    return by_task


def export(history: History, args: argparse.Namespace) -> bytes:
    entries = _matching(history, args)
    ids = {entry.id for entry in entries}
    named = {name if name in ids else history.get(name).id for name in args.entries}
    chosen = [entry for entry in entries if entry.id in named] if named else entries
    if args.as_experiment:
        if len(args.entries) != 1 or len(chosen) != 1:
            raise InputError("--experiment writes the pipeline of one entry: name one ID")
        from history.exchange.config import experiment_yaml

        return experiment_yaml(chosen[0]).encode()
    file = args.archive or args.json or args.csv
    if args.archive:
        from history.exchange.archive import write_archive

        if not chosen:
            raise InputError("an archive holds at least one entry; nothing was written")
        _check_target(history, Path(file))
        write_archive(chosen, Path(file))
    else:
        from history.view.frame import to_csv

        data = _json([entry.document for entry in chosen]) if args.csv is None else to_csv(chosen)
        if file == STDOUT:
            return data
        _save(history, Path(file), data)
    say(f"{_entries(len(chosen))} in {file}")
    return b""


def import_(history: History, args: argparse.Namespace) -> bytes:
    from history.exchange.imports import take

    taken = take(
        history, args.path, task=args.task, objective=args.objective, direction=args.direction
    )
    for one in taken:
        say(f"{one.entry.id}: imported")
        for note in one.notes:
            say(f"note: {note}")
    if not taken:
        say(f"every entry of {args.path} is in {history.root} already; nothing was changed")
    return b""


def remove(history: History, args: argparse.Namespace) -> bytes:
    entries = list({entry.id: entry for entry in map(history.get, args.entries)}.values())
    for entry in entries:
        say(
            f"{entry.id}: {entry.pipeline} of {entry.experiment or 'no experiment'}, stored {entry.created}"
        )
    if not args.yes and not _agreed(f"Remove {_entries(len(entries))} with all files?"):
        raise InputError("nothing was removed; --yes removes without asking")
    for entry in entries:
        history.remove(entry)
        say(f"{entry.id}: removed")
    return b""


def doctor(history: History, args: argparse.Namespace) -> bytes:
    from history.doctor import examine, mend

    repaired, left = mend(history) if args.yes else ([], examine(history))
    for finding in repaired:
        write(f"repaired: {finding.what}: {finding.repair}\n".encode())
    for finding in left:
        how = f"--yes would {finding.repair}" if finding.repair else "cannot be repaired"
        write(f"{finding.what}\n  {how}\n".encode())
    if left:
        raise HistoryError(f"{len(left)} finding{'s'[len(left) == 1 :]} in {history.root}")
    say(f"{_entries(len(history.entries()))} in {history.root}: all is well")
    return b""


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _save(history: History, path: Path, data: bytes) -> None:
    _check_target(history, path)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ExperimentError(f"cannot write {path}: {error.strerror or error}") from error


def _check_target(history: History, path: Path) -> None:
    place = path.resolve()
    if not place.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {place.parent} does not exist")
    if place.exists() and not place.is_file():
        raise InputError(f"cannot write {path}: it is not a file")
    database = place.parent == history.root and place.name.startswith("history.")
    if database or place.is_relative_to(history.root / "entries"):
        raise InputError(f"cannot write {path}: it would overwrite the history itself")


def _json(value: object) -> bytes:
    return to_json(value, indent=True) + b"\n"


def _text(content: "RenderableType") -> bytes:
    from history.view.text import render

    return render(content).encode(sys.stdout.encoding or "utf-8", "replace")


def write(data: bytes) -> None:
    """Write to stdout, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(message: str) -> None:
    """Write one line to stderr, in which a name out of a file cannot move the cursor."""
    line = " ".join(message.split())
    sys.stderr.write("".join(letter if letter.isprintable() else "?" for letter in line) + "\n")
