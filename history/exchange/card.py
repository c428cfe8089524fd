"""Describes an entry in a model card: Markdown with the header of the Hugging Face Hub, and what
the checklists for reproducibility of ACL and NeurIPS ask for.
"""

import re
from pathlib import PurePath

import jinja2
import yaml

from foundation import errors, escape, files
from history import Entry, ranking
from history.report import pages, study
from history.view.page import Facts

MARKS = re.compile(r"[\\`*\[\]<>|~&#$]|\b_|_\b")  # what Markdown takes for more than text
# what the Hub calls a task, by the rank of the rows
TASKS = {
    ("classification", 2): "tabular-classification",
    ("regression", 2): "tabular-regression",
    ("classification", 4): "image-classification",
}


def card(entry: Entry) -> bytes:
    """Return the card; raises InputError for an entry without a model."""
    if "model" not in entry.artefacts:
        raise errors.InputError(f"entry {entry.id} has no model to describe")
    header = yaml.safe_dump(_header(entry), sort_keys=False)
    text = CARD.render(
        entry=entry,
        source=Facts(entry.data.source).known(),
        split=Facts(entry.data.split).known(),
        space=study.space(entry),
        trials=entry.trial_records(),
        refits=entry.refits() if "history" in entry.artefacts else [],
    )
    return f"---\n{header}---\n\n{text}".encode()


def _header(entry: Entry) -> files.JsonObject:
    """Return what the Hub reads of a card, without the keys that would be empty."""
    source = entry.data.source
    task = TASKS.get((entry.task, len(entry.data.shapes.get("train", ()))))
    if source.get("kind") == "windows":
        task = "time-series-forecasting"
    name = str(source.get("name") or source.get("path") or source.get("_target_") or "unknown")
    results = []
    for part in ranking.PARTS:
        dataset = {"type": PurePath(name).stem, "name": name, "split": part}
        metrics = _metrics(entry, part)
        if metrics:
            kind = {"type": task or entry.task}
            results.append({"task": kind, "dataset": dataset, "metrics": metrics})
    header: files.JsonObject = {
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["keras", "keras-tuner", entry.task],
        "metrics": [metric["type"] for metric in _metrics(entry, "validation")],
        "model-index": [{"name": entry.id, "results": results}],
    }
    return Facts(header).known()


def _metrics(entry: Entry, part: str) -> list[files.JsonObject]:
    """Return the metrics over the rows of a part whose means are finite, as the Hub has them."""
    metrics = []
    for name in entry.part(part).metrics:
        mean = entry.metric(name, part)
        if mean is not None:
            metrics.append({"type": name, "value": mean})
    return metrics


MARKDOWN = pages.PAGES.overlay(
    loader=jinja2.PackageLoader("history.exchange"),
    autoescape=False,
    finalize=lambda value: MARKS.sub(r"\\\g<0>", escape.printable(value)),
    keep_trailing_newline=True,
)
CARD = MARKDOWN.get_template("card.md")
