"""The static pages of a report."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_samples
from history_samples import Add, Cli
from report_samples import SCRIPT

from history.entry import Entry
from history.report import pages

CLASSIFIED = ("Confusion matrix", "Receiver operating characteristic", "Calibration")


class Page(HTMLParser):
    """What a browser makes of a page: its text, the tags with their attributes, and rows."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text, self.tags = "", list[tuple[str, dict[str, str | None]]]()
        self.rows: list[list[str]] = []
        self.feed(content)
        self.text = " ".join(self.text.split())
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def pictures(self) -> list[str]:
        return [
            str(of["aria-label"]) for tag, of in self.tags if tag == "svg" and "width" not in of
        ]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    """An entry of each kind; module-wide, as pictures take their time."""
    root = tmp_path_factory.mktemp("report") / "results"
    return {
        "classification": report_samples.store(
            root, classes=(SCRIPT, "</style>", "a $x$ & b"), pipeline=f"p{SCRIPT}", run_id=SCRIPT
        ),
        "regression": report_samples.store(root, "regression"),
        "series": report_samples.store(
            root, "regression", data={"source": {"kind": "windows"}, "shapes": {"train": [9, 3, 1]}}
        ),
        "ensemble": report_samples.store(root, ensemble={"validation": {"accuracy": 0.9444}}),
        "failed": report_samples.store_failed(root),
    }


@pytest.fixture(scope="module")
def made(entries: dict[str, Entry]) -> dict[str, Page]:
    return {name: Page(pages.entry_page(entry)) for name, entry in entries.items()}


def test_a_page_begins_with_the_result_against_its_baseline(made: dict[str, Page]) -> None:
    found = made["ensemble"].text
    assert (
        "It reaches accuracy 0.9321 ± 0.0042 on the validation rows (mean ± deviation of 3 refits) "
        "and 0.9512 ± 0.0060 on the test rows. The stored model, which averages the refits, "
        "reaches 0.9444. It beats the best baseline, simple, which has 0.8000."
    ) in found
    assert "It failed in the stage “search” with ValueError." in made["failed"].text


def test_what_does_not_beat_its_baseline_says_so(root: Path) -> None:
    entry = report_samples.store(
        root, baselines={"logistic": {"validation": {"accuracy": 0.95}}}, count=4
    )
    assert (
        "It does not beat the baseline logistic, which has 0.9500."
        in Page(pages.entry_page(entry)).text
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "classification",
            ["Confusion matrix", "Receiver operating characteristic", "Calibration"],
        ),
        ("regression", ["Predicted against true", "Residuals"]),
        ("series", ["Held-out stretch", "Predicted against true", "Residuals"]),
    ],
)
def test_pictures_are_those_of_the_task(
    made: dict[str, Page], name: str, expected: tuple[str, ...]
) -> None:
    """Of the validation and of the test rows, after the learning curves, before the scores."""
    objective = "val_accuracy" if name == "classification" else "val_mse"
    assert [label for label in made[name].pictures() if "range" not in label] == [
        "Learning curves",
        *(f"{title}, 120 {part} rows" for title in expected for part in ("validation", "test")),
        f"{objective} of trials",
    ]


def test_nothing_of_an_entry_is_markup(entries: dict[str, Entry], made: dict[str, Page]) -> None:
    """Names of classes, pipelines, columns and runs, and messages, are text; the page runs the two
    scripts of the report, and no other.
    """
    for name, page in made.items():
        scripts = [attributes.get("src") for tag, attributes in page.tags if tag == "script"]
        assert scripts == ["../dataTables.min.js", "../report.js"], name
        assert not [
            attributes for _, attributes in page.tags if {*attributes} & {"onload", "onclick"}
        ]
        assert SCRIPT in page.text
    assert made["classification"].text.count("</style>") > 3
    assert pages.index_page([*entries.values()]).count("<script ") == 2


def test_a_page_needs_nothing_but_the_folder(made: dict[str, Page]) -> None:
    """No address of elsewhere, and a policy that would refuse it, and eval."""
    for page in made.values():
        assert not [
            value
            for tag, attributes in page.tags
            for key, value in attributes.items()
            if key in ("src", "href", "action") and "//" in str(value)
        ]
        (policy,) = (of["content"] for tag, of in page.tags if of.get("http-equiv"))
        assert "default-src 'none'; script-src 'self';" in str(policy)


def test_trials_are_rows_that_sort_by_all_their_digits(
    entries: dict[str, Entry], made: dict[str, Page]
) -> None:
    """The numbers are those of the entry."""
    page, trials = made["ensemble"], json.loads(entries["ensemble"].artefact("trials").read_text())
    rows = {row[0]: row for row in page.rows if row[0] in {t["trial_id"] for t in trials}}
    assert len(rows) == len(trials) == 12
    sorted_by = [of.get("data-order") for tag, of in page.tags if tag == "td"]
    for trial in trials:
        assert rows[trial["trial_id"]][2] == trial["status"].lower()
        if trial["score"] is not None:
            assert rows[trial["trial_id"]][1] == f"{trial['score']:.5g}"
            assert str(trial["score"]) in sorted_by
    assert rows["0001"][-1] == f"ValueError: no such layer {SCRIPT}"


def test_the_space_has_ranges_conditions_best_values_and_importance(made: dict[str, Page]) -> None:
    rows = {row[0]: row[1:] for row in made["ensemble"].rows if len(row) == 5}
    assert rows["momentum if optimizer is sgd"][0] == "0 to 0.9, step 0.1"
    assert rows["rate"][0] == "0.0001 to 0.01, log"
    assert rows["optimizer"][:2] == ["sgd, adam", "adam"]
    assert rows["bias"][1] in ("true", "false")
    shares = [int(row[3].rstrip(" %")) for name, row in rows.items() if row[3].endswith("%")]
    assert 98 <= sum(shares) <= 102
    assert "PED-ANOVA" in made["ensemble"].text


def test_data_config_environment_and_times_are_told(made: dict[str, Page]) -> None:
    text, rows = made["ensemble"].text, made["ensemble"].rows
    for told in (
        "read 2 numbers, 1 category (colour 3 words); target species",
        "train 360 \N{MULTIPLICATION SIGN} 4, validation 120",
        "keras 3.15.1, tensorflow 2.21.0",
        "commit 0123abc",
        "8.0 min",
        f'{{model: {{note: "{SCRIPT}"}}}}',
    ):
        assert told in text
    assert ["colour", "category"] in rows


def test_damaged_files_are_said_and_leave_the_rest(root: Path) -> None:
    """Whatever is in them."""
    entry = report_samples.store(root)
    entry.artefact("predictions").write_bytes(b"torn")
    entry.artefact("trials").unlink()
    found = Page(pages.entry_page(entry))
    assert "held cannot be shown: artefact 'predictions'" in found.text
    assert "trials cannot be shown: artefact 'trials'" in found.text
    assert "Learning curves" in found.pictures()


def test_a_document_of_another_form_leaves_the_report_whole(root: Path, cli: Cli) -> None:
    """As one from elsewhere may have: its page says so."""
    broken = report_samples.store(root, count=2, data={"columns": [1], "shapes": {"train": 3}})
    cli("report", "--output", root.parent / "report")
    found = Page((root.parent / "report" / broken.id / "index.html").read_text())
    assert "Most of it cannot be shown" in found.text
    assert broken.id in found.text


def test_an_index_ranks_entries_of_an_experiment_and_links_them(
    entries: dict[str, Entry],
) -> None:
    page = Page(pages.index_page([*entries.values()]))
    links = [of["href"] for tag, of in page.tags if tag == "a" and "index.html" in str(of["href"])]
    assert {f"{entry.id}/index.html" for entry in entries.values()} == {*links}
    assert "5 entries" in page.text
    assert "others cannot be told apart from it" in page.text


def test_an_empty_history_has_a_report(cli: Cli, root: Path, tmp_path: Path) -> None:
    root.mkdir()
    cli("report", "--output", tmp_path / "report")
    assert "Nothing here yet" in (tmp_path / "report/index.html").read_text()


def test_the_command_takes_ids_or_what_matches(
    cli: Cli, add: Add, failed: Callable[[], Entry], tmp_path: Path
) -> None:
    """A run, a sweep, an experiment, a status, as `list` does."""
    one = add(run_id="r-one", sweep="s1")
    other, broken = add("regression", 1.0, run_id="r-two", sweep="s1"), failed()
    for asked, expected in (
        ([], [one, other, broken]),
        ([one.id], [one]),
        (["--run", "r-t"], [other]),
        (["--sweep", "s1"], [one, other]),
        (["--status", "failed"], [broken]),
        (["--task", "regression"], [other]),
    ):
        folder = tmp_path / "-".join(["report", *asked])
        cli("report", *asked, "--output", folder)
        assert {path.parent.name for path in folder.glob("*/index.html")} == {
            entry.id for entry in expected
        }


def test_a_report_is_brought_up_to_date(cli: Cli, add: Add, root: Path, tmp_path: Path) -> None:
    """Pages of what has not changed are left alone, the same bytes are written twice, and no
    folder that holds something else is touched.
    """
    folder, one = tmp_path / "report", add()
    cli("report", "--output", folder)
    first = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    written = (folder / one.id / "index.html").stat().st_mtime_ns
    cli("report", "--output", folder)
    assert {path: path.read_bytes() for path in first} == first
    assert (folder / one.id / "index.html").stat().st_mtime_ns == written
    other = add()
    cli("report", "--output", folder)
    assert (folder / other.id / "index.html").exists()
    assert other.id in (folder / "index.html").read_text()
    (tmp_path / "made/index.html").write_text("mine")
    for taken in (tmp_path / "made", root / "entries"):
        assert "choose a new folder" in cli("report", "--output", taken, exit_code=2).err
    assert (tmp_path / "made/index.html").read_text() == "mine"


def test_a_page_of_many_trials_is_small(root: Path) -> None:
    page = pages.entry_page(report_samples.store(root, count=500, repeats=1))
    assert page.count("<tr") > 500
    assert len(page) < 1_000_000
