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
FILES = {
    named[1]: text
    for language, text in BLOCKS
    if language == "yaml" and (named := re.match(r"(?:# @[^\n]*\n)?# (\S+\.yaml)\n", text))
}


def block(beginning: str) -> str:
    """The one block that begins so, perhaps after a line that is for Hydra."""
    (found,) = [
        text for _, text in BLOCKS if re.sub(r"^# @[^\n]*\n", "", text).startswith(f"{beginning}\n")
    ]
    return found


def commands(program: str) -> list[str]:
    """What is shown to be typed after `python -m PROGRAM`, in blocks, in text, and in the table of
    overrides; comments and placeholders left out.
    """
    lines = [
        line.removeprefix("$ ").partition("  #")[0].strip()
        for language, text in BLOCKS
        if language in ("sh", "console")
        for line in text.splitlines()
    ]
    rows = [
        f"python -m runner +experiment=digits {cell}"
        for table in re.findall(
            r"^\| `python -m runner \+experiment=digits \.\.\.` .*?(?=^$)",
            WHOLE,
            re.DOTALL | re.MULTILINE,
        )
        for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)[1:]
        for cell in re.findall(r"`(.*?)`", cell)
    ]
    said = re.findall(r"`(python -m [^`]+)`", WHOLE)
    return sorted(
        {
            line.removeprefix(f"python -m {program} ")
            for line in (*lines, *rows, *said)
            if line.startswith(f"python -m {program} ") and "..." not in line
        }
    )
