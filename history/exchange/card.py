"""Describes an entry in a model card: Markdown with the header of the Hugging Face Hub, and what
the checklists for reproducibility of ACL and NeurIPS ask for.
"""

import re
from collections.abc import Iterable
from pathlib import PurePath

import jinja2
import yaml

from foundation import errors, escape, files
from history import Entry
from history.report import pages, study
from history.view.text import duration

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
    source = _configured(entry.data.source)
    names = [source[key] for key in ("name", "path", "_target_") if key in source]
    named = str(names[0]) if names else "unknown"
    task = TASKS.get((entry.task, len(entry.data.shapes.get("train") or ())))
    if source.get("kind") == "windows":
        task = "time-series-forecasting"
    measured = {
        "validation": _finite(entry, "validation", entry.validation.metrics),
        "test": _finite(entry, "test", entry.test.metrics),
    }
    header = {
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["keras", "keras-tuner", entry.task],
        "metrics": [*measured["validation"]],
        "model-index": [
            {
                "name": entry.id,
                "results": [
                    {
                        "task": {"type": task or entry.task},
                        "dataset": {"type": PurePath(named).stem, "name": named, "split": part},
                        "metrics": [{"type": n, "value": m} for n, m in found.items()],
                    }
                    for part, found in measured.items()
                    if found
                ],
            }
        ],
    }
    text = CARD.render(
        entry=entry,
        value=entry.value,
        source=source,
        split=_configured(entry.data.split),
        space=study.space(entry),
        duration=duration,
        trainings=sum(len(trial.history) for trial in study.trials(entry)),
        seeds=[refit["seed"] for refit in entry.refits()] if "history" in entry.artefacts else [],
        **pages.judged(entry),
    )
    known = yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False)
    return f"---\n{known}---\n\n{text}".encode()


def _configured(section: files.JsonObject) -> files.JsonObject:
    """Return what a section sets, without the keys that it leaves empty."""
    return {key: value for key, value in section.items() if value not in (None, [], {})}


def _finite(entry: Entry, part: str, metrics: Iterable[str]) -> dict[str, float]:
    """Return the means of these metrics over the rows of a part, where they are finite."""
    means = {}
    for name in metrics:
        mean = entry.metric(name, part)
        if mean is not None:
            means[name] = mean
    return means


CARD = jinja2.Environment(
    loader=jinja2.PackageLoader("history.exchange"),
    finalize=lambda value: MARKS.sub(r"\\\g<0>", escape.printable(value)),
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("card.md", globals=pages.PAGES.globals)
