"""Numbers as people write them: with separators of thousands, a percent sign, a currency or a unit;
and whether a column of texts says for sure which numbers it means.
"""

import re

import numpy as np
import pandas
from pydantic import BaseModel

from runner.data.dataset import Array

# between groups of three digits; hard or narrow spaces and typographic apostrophes are these too
THOUSANDS = ("", ",", ".", " ", "'")
ALIKE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2019": "'", "\u2212": "-"})
CURRENCY = "$\u00a2-\u00a5\u20a0-\u20cf"
# a sign, a currency, a number in any style, and a unit: a sign or words, no digit among them
CELL = (
    rf"^([-+]?)((?:[A-Z]{{0,3}}[{CURRENCY}]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD) )?) ?"
    r"([-+]?(?:\d(?:[\d.,' ]*\d)?|[.,]\d+)(?:[eE][-+]?\d+)?) ?"
    rf"((?:(?:[%\u2030\u00b0{CURRENCY}]|[^\W\d_])[^\d,;:<>=()]{{0,14}})?)$"
)

# a comma that may be one of decimals, or separate thousands; or no comma at all
GROUPED = r"[^,]*|[-+]?[1-9]\d{0,2},\d{3}"

# what is no code, such as 5A: a sign of a unit, or a unit apart from its number
UNIT = rf"[%\u2030\u00b0{CURRENCY}]|\d [^\W\d]"


class Style(BaseModel, frozen=True):
    """How the numbers of a column are written; each may have the unit, before or behind it."""

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def values(self, found: pandas.DataFrame) -> Array:
        """Return cells as numbers, NaN where one is none in this style."""
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{group}\d{{3}})+)" if group else r"\d+"
        fits = found["number"].str.fullmatch(
            rf"[-+]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?"
        ) & found["unit"].isin(["", self.unit])
        texts = found["sign"] + (
            found["number"]
            .str.replace(self.thousands, "", regex=False)
            .str.replace(self.decimal, ".", regex=False)
        )
        return pandas.to_numeric(texts.where(fits), errors="coerce").to_numpy("float64")

    def __str__(self) -> str:
        """Return what is said behind the name of a column; nothing, where numbers are plain."""
        unit = f" in {self.unit}" if self.unit else ""
        return f"{unit} with thousands {self.thousands!r}" if self.thousands else unit


def cells(texts: "pandas.Series[str]") -> pandas.DataFrame:
    """Return each text with its sign, number and unit, "" where it is no number."""
    found = texts.str.translate(ALIKE).str.extract(CELL).fillna("")
    unit = (found[1] + found[3]).str.strip()
    return pandas.DataFrame({"text": texts, "sign": found[0], "number": found[2], "unit": unit})


def style_of(
    found: pandas.DataFrame, decimal: str, thousands: str | None, *, asked: bool
) -> tuple[Style | None, tuple[int, str]]:
    """Return the style that all cells are written in, or in which place one is doubtful and why;
    nothing of either where they are no numbers.

    Args:
        found: the cells, each another.
        decimal: that was told, if only by default.
        thousands: that were told; "": there are none; None: they must be proven.
        asked: these were said to be numbers: some may lack the unit, and what may be meant in two
            ways is as `decimal` says.
    """
    texts, number, units = found["text"], found["number"], {*found["unit"]}
    none, measured = number == "", texts.str.contains(UNIT) & (number != "")
    if none.any():
        place = int(none.argmax())
        why = (
            f"{texts[place]!r:.60} is not a number, unlike the other values; fix it, or add it "
            "to data.na_values"
        )
        return None, (place, why if 2 * measured.sum() > len(found) else "")
    if len(units - {""} if asked else units) > 1:
        place = int((found["unit"] != found["unit"][0]).argmax())
        why = (
            f"{texts[place]!r} has a different unit from {texts[0]!r}; use one unit throughout, "
            "or, if a unit is merely missing, declare the column a number"
        )
        return None, (place, why if asked or measured.any() or "" in units else "")
    # what fits a number of so many digits fits all of these
    shapes = found.assign(
        text="", number=number.str.replace(r"(?<=\d)\d", "1", regex=True)
    ).drop_duplicates()
    values = {
        style: style.values(shapes)
        for point in sorted(".,", key=decimal.__ne__)
        for group in THOUSANDS
        if point != group
        for style in [Style(decimal=point, thousands=group, unit="".join(units))]
    }
    fits = {style: ~np.isnan(numbers) for style, numbers in values.items()}
    whole = [style for style, fit in fits.items() if fit.all()]
    simple = np.logical_or.reduce([fit for style, fit in fits.items() if not style.thousands])
    own = [
        style
        for style in whole
        if style.decimal == decimal and (thousands is None or style.thousands in ("", thousands))
    ]
    if own and (asked or thousands is not None):
        whole = own
    elif simple.all():  # nothing proves separators of thousands
        whole = [
            style
            for style in whole[:1]
            # a point is one of decimals in all but a few files; a comma may stand in a list
            if not style.thousands and (decimal, style.decimal) != (".", ",")
            if decimal == "." or len({values[each].tobytes() for each in whole}) == 1
        ]
    elif thousands is not None:
        whole = []
    if whole or not np.logical_or.reduce([*fits.values()]).all():
        return whole[0] if whole else None, (0, "")
    return None, _doubt(number)


def _doubt(numbers: "pandas.Series[str]") -> tuple[int, str]:
    """Return the place of a number that may be meant in another way than was told, and why."""
    comma, point = (np.flatnonzero(numbers.str.contains(mark, regex=False)) for mark in ",.")
    place, mark = int((*comma, *point, 0)[0]), "," if len(comma) else "."
    number, marked = numbers[place], [*comma, *point]
    other = next((numbers[n] for n in point if n != place), number)
    grouped = numbers[marked].str.fullmatch(r"[-+]?[1-9]\d{0,2}[.,]\d{3}").all()
    reasons = {
        f"{number!r} has separators of thousands; is data.thousands right?": not marked,
        f"{number!r} appears next to {other!r}; which is the decimal sign? Write all numbers of a "
        "column in the same way, or set data.decimal and data.thousands": len(comma) and len(point),
        f"{number!r} may be {number.replace(mark, '')} or {number.replace(mark, '.')}: set "
        f"data.thousands: '{mark}', or data.decimal: '{mark}' and data.thousands: ''": grouped,
        f"{number!r} has a comma; is data.decimal right?": mark == ",",
        f"{number!r} has a point; is data.decimal right?": True,
    }
    return place, next(reason for reason, applies in reasons.items() if applies)
