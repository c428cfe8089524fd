"""Processes that change a history until they are killed, and what must hold afterwards.

A writer is a fork of this process. It says on a pipe what it is about to do, and what it has done
once the call has returned: that is what has been acknowledged.
"""

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from history_samples import artefacts

import history
from history import registry
from history.doctor import examine, mend
from history.store import Store

Say = Callable[[str], object]
Writer = Callable[[Path, random.Random, Say], None]
Check = Callable[[Path, "Said"], list[str]]


@dataclass
class Said:
    """What the writers have said so far, over all kills."""

    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    unsure: set[str] = field(
        default_factory=set
    )  # a removal that was begun; nobody knows whether it was done

    def hear(self, text: str) -> None:
        for word in text.split():
            {"+": self.added, "?": self.unsure, "-": self.removed}[word[0]].add(word[1:])


def change_without_end(
    add: Callable[[], str],
    remove: Callable[[str], None],
    chance: random.Random,
    say: Say,
    removals: float,
) -> None:
    """Add, and remove a share of what was added."""
    mine = []
    while True:
        id = add()
        say(f"+{id}")
        mine.append(id)
        if chance.random() < removals:
            id = mine.pop(chance.randrange(len(mine)))
            say(f"?{id}")
            remove(id)
            say(f"-{id}")


def insert_documents(root: Path, chance: random.Random, say: Say) -> None:
    """Insert documents of different sizes, and remove some."""
    store = Store(root)

    def add() -> str:
        id = f"mlp-{chance.getrandbits(64):x}"
        store.insert({"id": id, "text": "x" * chance.choice((10, 1000, 20_000))})
        return id

    change_without_end(add, store.remove, chance, say, 0.2)


def add_entries(root: Path, chance: random.Random, say: Say) -> None:
    """Add entries with artefacts, and remove some."""
    catalogue = history.open(root)
    manager = registry.manager("regression", root)
    made = root.parent / f"made-{os.getpid()}"

    def add() -> str:
        files = artefacts(manager, made, chance.choice((1, 2000)))
        return manager.add({"pipeline": "mlp", "status": "complete"}, files).id

    def remove(id: str) -> None:
        catalogue.remove(catalogue.get(id))

    change_without_end(add, remove, chance, say, 0.5)


def kill(writer: Writer, root: Path, chance: random.Random, said: Said, longest: float) -> None:
    """Start the writer and kill it after at most `longest` seconds of work."""
    reading, writing = os.pipe()
    seed = chance.getrandbits(64)

    def work() -> None:
        os.close(reading)
        os.write(writing, b"\n")
        writer(root, random.Random(seed), lambda text: os.write(writing, f"{text}\n".encode()))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        started = pipe.read(1)
        time.sleep(chance.uniform(0, longest))
        os.kill(process.pid or 0, signal.SIGKILL)
        said.hear((started + pipe.readall()).decode())
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise AssertionError(f"the writer ended by itself, with {process.exitcode}")


def refuse(constant: str) -> None:
    """Strict JSON has no NaN."""
    raise ValueError(f"it holds a bare {constant}")


def insert_many(root: Path, worker: int, number: int) -> None:
    """What each of several writers at once does."""
    store = Store(root)
    for count in range(number):
        store.insert({"id": f"mlp-{worker}-{count}"})


def write_at_once(root: Path, workers: int, number: int) -> list[str]:
    """Let so many processes insert so many documents each; return what is wrong afterwards."""
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.starmap(insert_many, [(root, worker, number) for worker in range(workers)])
    ids = [document["id"] for document in Store(root).all()]
    wrong = [
        f"writer {worker} has not all of its documents, or in another order"
        for worker in range(workers)
        if [id for id in ids if id.startswith(f"mlp-{worker}-")]
        != [f"mlp-{worker}-{count}" for count in range(number)]
    ]
    return wrong if len(ids) == workers * number else [*wrong, f"{len(ids)} documents"]


def wrong_in_the_database(root: Path, said: Said) -> list[str]:
    """What a kill must not do to the file, its generation before and what has been acknowledged."""
    wrong = []
    for path in (root / "history.json", root / "history.previous.json"):
        try:
            if path.exists():
                json.loads(path.read_bytes(), parse_constant=refuse)
        except ValueError as error:
            wrong.append(f"{path}: {error}")
    if wrong:
        return wrong
    ids = [document["id"] for document in Store(root).all()]
    if len(set(ids)) != len(ids):
        wrong.append("an id is there twice")
    kept = said.added - said.removed - said.unsure
    wrong += [f"{id} was acknowledged and is lost" for id in kept - set(ids)]
    wrong += [f"{id} was removed and is back" for id in said.removed & set(ids)]
    return wrong


def wrong_after_mending(root: Path, said: Said) -> list[str]:
    """What is wrong in the database, or with the folders once the doctor has done what it can."""
    wrong = wrong_in_the_database(root, said)
    catalogue = history.open(root)
    _, remaining = mend(catalogue)
    wrong += [finding.what for finding in [*remaining, *examine(catalogue)]]
    wrong += wrong_in_the_database(root, said)
    entries = catalogue.entries()
    for entry in entries:
        catalogue.manager_of(entry).verify(entry)
    odd = {path.name for path in (root / "entries").glob("*")} ^ {entry.id for entry in entries}
    return wrong + [f"there is a folder or an entry, not both: {id}" for id in odd]
