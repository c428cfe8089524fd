"""The model card of an entry, and what it shows of itself in a notebook."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from history_samples import Add, Cli

import history
from foundation.files import to_json
from history.entry import Entry

HOSTILE = "<script>alert(1)</script> | *x* $y$"
SPACE = [
    {
        "class_name": "Float",
        "config": {
            "name": "model.dropout",
            "min_value": 0.0,
            "max_value": 0.5,
            "step": None,
            "sampling": "linear",
            "conditions": [],
        },
    },
    {
        "class_name": "Choice",
        "config": {"name": "model.kind", "values": ["a", HOSTILE], "conditions": [{}]},
    },
]
TRIAL = {"trial_id": "0000", "status": "COMPLETED", "score": 0.98, "values": {"model.dropout": 0.2}}
REFIT = {"seed": 11, "history": {"loss": [0.5, 0.25], "val_loss": [0.5, 0.5]}}


def described(add: Add) -> Entry:
    """Store an entry that has all that a card tells."""
    trials = [{**TRIAL, "history": [{}, {}]}, {**TRIAL, "trial_id": "0001", "history": [{}]}]
    return add(
        contents={"trials": to_json(trials), "history": to_json([REFIT, {**REFIT, "seed": 22}])},
        seed=7,
        search={
            "tuner": "random",
            "objective": {"name": "val_accuracy", "direction": "max"},
            "trials": {"total": 2, "completed": 2, "failed": 0},
            "seconds": 12.0,
            "space": SPACE,
        },
        data={
            "source": {"kind": "table", "path": "data/houses.csv", "na_values": []},
            "shapes": {"train": [1200, 3], "validation": [40, 3], "test": [40, 3]},
            "split": {"kind": "stratified", "validation": 0.2, "test": 0.2, "seed": 5},
            "classes": ["plain", HOSTILE],
            "fingerprint": "0f" * 32,
        },
        environment={
            "processor": "AMD EPYC",
            "cores": 2,
            "threads": 1,
            "platform": "Linux-6",
            "python": "3.11.2",
            "packages": {"keras": "3.15.1"},
        },
        timings={"validation": 3.0},
    )


def parts(card: str) -> tuple[dict[str, Any], str]:
    """The header of a card, parsed, and its text."""
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def test_a_card_has_the_header_of_the_hub(add: Add, cli: Cli) -> None:
    """With results as its model index has them: task, dataset and metrics that are finite."""
    entry = described(add)
    header, _ = parts(cli("export", entry.id, "--card").out)
    assert header["library_name"] == "keras"
    assert header["pipeline_tag"] == "tabular-classification"
    assert header["metrics"] == ["accuracy"]
    (index,) = header["model-index"]
    assert index["name"] == entry.id
    validation, test = index["results"]
    assert validation["task"] == {"type": "tabular-classification"}
    assert test["dataset"] == {"type": "houses", "name": "data/houses.csv", "split": "test"}
    assert test["metrics"] == [{"type": "accuracy", "value": 0.9722}]
    assert validation["metrics"] == [{"type": "accuracy", "value": 0.9722}]


def test_a_card_answers_the_checklists_of_reproducibility(add: Add, cli: Cli, root: Path) -> None:
    """Bounds of each hyperparameter, best configuration, numbers of runs, mean and deviation,
    selection, data and splits, infrastructure, runtime.
    """
    cli("export", described(add).id, "--card", root.parent / "README.md")
    _, body = parts((root.parent / "README.md").read_text(encoding="utf-8"))
    for said in (
        "| model.dropout | 0 to 0.5, linear | 0.25 |",
        "| accuracy | 0.9722 ± 0.0031 | 0.9722 ± 0.0010 |",
        "over 3 trainings",
        "(seeds 11, 22; all are drawn from seed 7)",
        "Method: random",
        "the highest val_accuracy at its best epoch, 0.9800",
        "Search trials: 2, of which 2 completed and 0 failed",
        "Trainings in total: 3 in the search, 2 of the best configuration",
        "Source: kind=table, path=data/houses.csv\n",
        "Train: 1,200 rows of shape 3",
        "Split: kind=stratified, validation=0.2, test=0.2, seed=5",
        "Processor: AMD EPYC, 2 cores; threads per training: 1",
        "Packages: keras=3.15.1",
        "Runtime: search 12.0 s of training time (6.0 s per trial), final trainings 3.0 s",
    ):
        assert said in body
    assert body.endswith("\n")


def test_a_card_shows_every_text_as_it_is(add: Add, cli: Cli) -> None:
    """Whatever Markdown, or HTML in it, would make of a name."""
    _, body = parts(cli("export", described(add).id, "--card").out)
    assert HOSTILE not in body
    assert body.count(re.sub(r"[<>|*$]", r"\\\g<0>", HOSTILE)) == 2


def test_a_card_describes_one_model(
    add: Add, failed: Callable[[], Entry], cli: Cli, root: Path
) -> None:
    """Neither several, nor what has none."""
    add()
    assert "has no model to describe" in cli("export", failed().id, "--card", exit_code=2).err
    assert "name one ID" in cli("export", "--card", exit_code=2).err


def test_an_entry_shows_itself_in_a_notebook(add: Add, failed: Callable[[], Entry]) -> None:
    """Score, best values, learning curves and scores of trials; of one that failed, its error. A
    text is no markup.
    """
    shown = add(
        contents={
            "trials": to_json([{**TRIAL, "history": []}] * 3),
            "history": to_json([REFIT]),
        },
        experiment=HOSTILE,
    )._repr_html_()
    assert "0.9722 ± 0.0031" in shown
    assert "model.dropout" in shown
    assert shown.count("<svg") == 2
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "It failed" in failed()._repr_html_()


def test_a_history_shows_its_newest_entries(add: Add, root: Path) -> None:
    """In a table, which a long history does not flood."""
    ids = [add().id]
    results = history.open(root)
    documents = ({**results.get(ids[0]).document, "id": f"mlp-{n}"} for n in range(60))
    for document in documents:
        results.store.insert(document)
    shown = results._repr_html_()
    assert shown.count("<tr>") == 51
    assert "61 entries; the newest 50 are shown" in shown
    assert "0 entries" in history.open(root / "none")._repr_html_()
