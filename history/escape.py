"""The doors for text from outside: what may do harm where it goes is shown instead of obeyed."""


def printable(value: object, newlines: bool = False) -> str:
    """Return the value as text for a terminal, which sees only characters to print.

    Arguments: `newlines`, whether line breaks stay.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or (newlines and letter == "\n") else repr(letter)[1:-1]
        for letter in text
    )


def spreadsheet_cell(value: object) -> object:
    """Return a value for a spreadsheet: a text that it would run as a formula gets an apostrophe in
    front (OWASP, CSV Injection).
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
