"""README.md and the pages below docs/: what they show, for the tests that try it."""

import re
from pathlib import Path

import runner

REPOSITORY = Path(runner.__file__).parents[1]
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
}
WHOLE = "\n".join(PAGES.values())
# Code blocks, by language; one may stand below a point of a list.
BLOCKS = [
    (language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
    for indent, language, text in re.findall(
        r"^( *)```(\w+)\n(.*?)^\1```", WHOLE, re.DOTALL | re.MULTILINE
    )
]
# Those that are files of YAML, by the name that their first comment, or the second, gives.
FILES = {}
for _language, _text in BLOCKS:
    if _language == "yaml" and (_named := re.match(r"(?:# @[^\n]*\n)?# (\S+\.yaml)\n", _text)):
        FILES[_named[1]] = _text


def block(beginning: str) -> str:
    """The one block that begins so, perhaps after a line that is for Hydra."""
    texts = [re.sub(r"^# @[^\n]*\n", "", text) for _, text in BLOCKS]
    [index] = [i for i, text in enumerate(texts) if text.startswith(f"{beginning}\n")]
    return BLOCKS[index][1]


def commands(program: str) -> list[str]:
    """What is shown to be typed after `python -m PROGRAM`, in blocks, in text, and in the table of
    overrides; comments and placeholders left out.
    """
    shown: list[str] = re.findall(r"`(python -m [^`]+)`", WHOLE)
    for language, text in BLOCKS:
        if language in ("sh", "console"):
            lines = [line.removeprefix("$ ").partition("  #")[0] for line in text.splitlines()]
            shown += map(str.strip, lines)
    digits = "python -m runner +experiment=digits"
    [table] = re.findall(
        rf"^\| `{re.escape(digits)} \.\.\.` .*?(?=^$)", WHOLE, re.DOTALL | re.MULTILINE
    )
    for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)[1:]:
        shown += [f"{digits} {argument}" for argument in re.findall(r"`(.*?)`", cell)]
    start = f"python -m {program} "
    typed = {line.removeprefix(start) for line in shown if line.startswith(start)}
    return sorted(line for line in typed if "..." not in line)
