"""The pages of a report as a browser shows them, from file://: Debian's Chromium, headless.

REPORT_PICTURES names a folder that keeps what the pages look like.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_samples import store, store_failed

import history
from history.report import pages

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytest.importorskip("plotly")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}
AXE: dict[str, Any] = {
    "light": {"preload": False},
    "dark": {"preload": False, "runOnly": ["color-contrast"]},
    "phone": {"preload": False, "runOnly": ["target-size", "scrollable-region-focusable"]},
}
PLOTS = ["history", "importance", "slices", "parallel", "contour", "rank", "timeline"]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ids by pipeline; their report is in the folder `report`, beside their history's."""
    root = tmp_path_factory.mktemp("report") / "results"
    entries = {
        "broken": store_failed(root),
        "mlp": store(root),
        "large": store(root, count=500),
        "load": store(root, "regression", count=2, data={"source": {"kind": "windows"}}),
    }
    pages.write(history.open(root), [*entries.values()], root.parent / "report")
    return {"": str(root.parent / "report")} | {name: e.id for name, e in entries.items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("REPORT_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, ids: dict[str, str]) -> Iterator[Open]:
    """Open a page of the report by its path; what it writes to the console, and each request for
    anything but a file of the report, fails the test.
    """
    contexts, wrong = [], []

    def note(request: Any) -> None:
        if not request.url.startswith((f"file://{ids['']}/", "data:", "blob:")):
            wrong.append(request.url)

    def open_page(path: str, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", note)
        page.goto(f"file://{ids['']}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def show_all(page: Any) -> None:
    """Scroll down, so that each plot of the page is drawn."""
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()
    page.evaluate("scrollTo(0, 0)")


NIGHTLY = [pytest.param(name, marks=pytest.mark.nightly) for name in ("load", "broken")]


@pytest.mark.parametrize("name", ["", "mlp", "mlp/explore", *NIGHTLY])
def test_a_page_is_whole(opened: Open, ids: dict[str, str], pictures: Path, name: str) -> None:
    """No error, no request; nothing that axe-core calls serious, light, dark or on a phone, which
    it is no wider than.
    """
    pipeline, _, kind = name.partition("/")
    path = f"{ids[pipeline]}/{kind or 'index'}.html" if name else "index.html"
    picture = name.replace("/", "-") or "index"
    page = opened(path, bypass_csp=True)  # for axe-core, which is no file of ours
    for look, (width, scheme) in LOOKS.items():
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        show_all(page)
        page.screenshot(path=pictures / f"{picture}-{look}.png", full_page=True)
        judged = axe.Axe().run(page, {"exclude": [["svg"]]}, AXE[look]).response
        grave = [v for v in judged["violations"] if v["impact"] in ("serious", "critical")]
        assert grave == [], look
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.pdf(path=pictures / f"{picture}-print.pdf", format="A4")


def test_each_plot_has_drawn_each_trial(opened: Open, ids: dict[str, str]) -> None:
    """Under the page's own policy, which forbids to evaluate text as code; no button uploads."""
    page = opened(f"{ids['mlp']}/explore.html")
    show_all(page)
    marks = {
        name: page.locator(f"section[aria-labelledby={name}] .plot").evaluate(
            "e => ({points: e.querySelectorAll('.point').length,"
            " lines: e.querySelectorAll('path.js-line').length,"
            " filled: e.querySelectorAll('.contourlayer image, .contourlines path').length})"
        )
        for name in PLOTS
    }
    points = {"history": 11, "importance": 6, "contour": 11, "rank": 11, "timeline": 12}
    assert {name: marks[name]["points"] for name in points} == points
    assert marks["slices"]["points"] >= 11 * 4
    assert marks["parallel"]["lines"] == 11
    assert marks["contour"]["filled"] > 1
    titles = page.locator(".modebar-btn").evaluate_all("all => all.map(e => e.dataset.title)")
    assert "Zoom in" in titles
    assert not re.search("cloud|edit", " ".join(titles), re.IGNORECASE)
    assert page.locator(".modebar a[href]").count() == 0


def test_five_hundred_trials_are_drawn_as_they_are_looked_at(
    opened: Open, ids: dict[str, str]
) -> None:
    """The first plots at once, those far below not before: of so many, all would take seconds."""
    page = opened(f"{ids['large']}/explore.html")
    page.wait_for_selector(".plot .main-svg")
    marks = page.locator("section[aria-labelledby=history] .point").count()
    assert marks == 499
    assert page.locator("section[aria-labelledby=timeline] .main-svg").count() == 0


def column(page: Any, name: str) -> list[str]:
    """What a column of the table of trials shows, from the top."""
    table = page.get_by_role("region", name="Trials", exact=True).locator("table")
    place = table.locator("thead th").all_inner_texts().index(name) + 1
    found: list[str] = table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()
    return found


def scores(page: Any) -> list[float]:
    return [float(text) for text in column(page, "val_accuracy") if text[0].isdigit()]


def test_trials_are_sorted_and_filtered(opened: Open, ids: dict[str, str]) -> None:
    """By mouse and by keyboard; numbers by all their digits, however they are shown."""
    page = opened(f"{ids['mlp']}/index.html")
    region = page.get_by_role("region", name="Trials", exact=True)
    assert column(page, "trial") == [f"{number:04}" for number in range(12)]
    header = region.locator("thead th", has_text="val_accuracy")
    header.click()
    sync_api.expect(header).to_have_attribute("aria-sort", "ascending")  # after a turn of the loop
    rising = scores(page)
    assert rising == sorted(rising)
    header.locator("[tabindex='0']").press("Enter")
    sync_api.expect(header).to_have_attribute("aria-sort", "descending")
    assert scores(page) == rising[::-1]
    region.get_by_role("searchbox").press_sequentially("failed")
    sync_api.expect(region.locator("tbody tr")).to_have_count(1)
    assert {*column(page, "status")} == {"failed"}
    assert column(page, "trial") == ["0001"]


def test_a_page_says_all_without_a_script(opened: Open, ids: dict[str, str]) -> None:
    page = opened(f"{ids['mlp']}/index.html", java_script_enabled=False)
    assert page.locator("table tbody tr").count() > 12
    assert page.locator("figure svg").count() >= 4
