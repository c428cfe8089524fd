"""The pictures of README, from a real run: `python -m benchmarks pictures`.

Runs the experiment `digits` in a terminal of tmux, writes what that shows as SVG while a search is
on and when all has ended, and the report of that run, as Chromium shows it, as PNG. Needs tmux,
Chromium, and about two minutes.
"""

import argparse
import io
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rich.console
import rich.terminal_theme
import rich.text

from benchmarks.table import REPOSITORY

COLUMNS, ROWS = 116, 20
COMMAND = "python -m runner +experiment=digits"
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks pictures", description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "pictures")
    parser.add_argument("--at", default="mlp: trial 0006 ", help="when")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        running, ended = watched(Path(folder), options.at)
        drawn(running, COMMAND, options.output / "running.svg")
        table = ended[[*map(plain, ended)].index("classification, best first by accuracy") :]
        drawn(table, COMMAND, options.output / "result.svg")
        report = Path(folder, "report")
        history = [sys.executable, "-m", "history", "--root", f"{folder}/results"]
        subprocess.run([*history, "report", "--output", str(report)], check=True, cwd=REPOSITORY)
        (page,) = report.glob("cnn-*/index.html")
        photographed(page, options.output / "report.png")
    return 0


def plain(line: str) -> str:
    """Return a line of a terminal without its colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", line).rstrip()


def watched(folder: Path, at: str) -> tuple[list[str], list[str]]:
    """Run it in a terminal, and return the lines on the screen when a search is at a place, and
    when all has ended.
    """
    tmux = ["tmux", "-S", str(folder / "socket")]
    command = f"{shlex.quote(sys.executable)} {COMMAND.removeprefix('python ')}"
    shell = f"clear; {command} paths.root={shlex.quote(str(folder / 'results'))}; echo; sleep 600"
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    subprocess.run([*tmux, "new-session", "-d", *size, shell], check=True, cwd=REPOSITORY)

    def screen() -> list[str]:
        shown = [*tmux, "capture-pane", "-e", "-p"]
        done = subprocess.run(shown, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.rstrip().splitlines()

    def waited(until: Callable[[str], object]) -> list[str]:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            lines = screen()
            if until("\n".join(map(plain, lines))):
                return lines
            time.sleep(0.2)
        raise TimeoutError("\n".join(map(plain, screen())))

    try:
        return (
            waited(lambda text: re.search(at, text)),
            waited(lambda text: "mean ± deviation over seeds" in text),
        )
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


def drawn(lines: list[str], title: str, path: Path) -> None:
    """Write lines of a terminal, colours included, as a picture."""
    console = rich.console.Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for line in lines:
        console.print(rich.text.Text.from_ansi(line), overflow="crop", no_wrap=True)
    text = console.export_svg(title=title, theme=rich.terminal_theme.SVG_EXPORT_THEME)
    # A picture fetches nothing: the reader's own font in place of one from the network.
    text = re.sub(r"\s*@font-face \{.*?\}", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*;", f"font-family: {FONT};", text)
    path.write_text(text, encoding="utf-8")


def photographed(page: Path, path: Path) -> None:
    """Write what the top of a page looks like on a desk as a picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*CHROMIUM]
        )
        tab = browser.new_page(viewport={"width": 1200, "height": 1236}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.wait_for_load_state("networkidle")
        tab.screenshot(path=path)
        browser.close()
