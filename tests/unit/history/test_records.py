"""Sections of documents are read as typed records."""

from pathlib import Path

import pytest

from history.entry import Entry
from history.records import Artefact, Best, Evaluation, Objective, Search, TrialCounts, Validation


def test_a_section_is_read_as_its_record() -> None:
    """With the records that it holds itself; keys without an attribute stay in the document."""
    search = {
        "tuner": "tpe",
        "objective": {"name": "val_loss", "direction": "max"},
        "trials": {"total": 3, "completed": 2, "failed": 1},
        "seconds": None,
        "fingerprint": "f",
    }
    facts = {"path": "entries/a/model.keras", "bytes": 3, "sha256": "0", "later": 1}
    entry = Entry(
        {
            "search": search,
            "best": {"trial_id": "0", "score": 0.5, "values": {"x": 1}, "best_epoch": 2},
            "validation": {"metrics": {"m": 0.5}, "repeats": 2, "kept": 1, "warning": "w"},
            "test": {"metrics": {"m": 0.4}},
            "artefacts": {"model": facts},
        },
        Path("r"),
    )
    objective = Objective("val_loss", "max")
    assert entry.search == Search("tpe", objective, trials=TrialCounts(3, 2, 1))
    assert entry.best == Best("0", 0.5, {"x": 1})
    assert entry.validation == Validation({"m": 0.5}, repeats=2, kept=1, warning="w")
    assert entry.test == Evaluation({"m": 0.4})
    assert entry.artefacts == {"model": Artefact("entries/a/model.keras", 3, "0")}
    assert entry.document["search"] is search


@pytest.mark.parametrize("section", [{}, None])
def test_what_an_entry_lacks_reads_as_the_default(section: object) -> None:
    """Whether the section is missing in the document, null or empty."""
    names = ("origin", "search", "best", "validation", "test", "artefacts")
    for document in ({}, dict.fromkeys(names, section)):
        entry = Entry(document, Path("r"))
        assert entry.origin.kind == "run"
        assert entry.search == Search()
        assert entry.best == Best()
        assert (entry.validation, entry.test) == (Validation(), Evaluation())
        assert entry.artefacts == {}
