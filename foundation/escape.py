"""The doors for text from outside: what may do harm where it goes is shown instead of obeyed."""

import re

_FORMULA = re.compile(r"[=@\t\r]|[+-](?![0-9.]+(e[+-]?[0-9]+)?\Z)", re.IGNORECASE)


def printable(value: object, newlines: bool = False) -> str:
    """Return the value as text for a terminal, which sees only characters to print.

    Arguments: `newlines`, whether line breaks stay, and tabs.
    """
    text = str(value)
    if text.isprintable():
        return text
    letters = []
    for letter in text:
        is_shown = letter.isprintable() or (newlines and letter in "\n\t")
        letters.append(letter if is_shown else repr(letter)[1:-1])
    return "".join(letters)


def spreadsheet_cell(value: object) -> object:
    """Return a value for a spreadsheet: a text that it would run as a formula, which is one that
    begins so and is no number, gets an apostrophe in front (OWASP, CSV Injection).
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
