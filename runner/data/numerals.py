"""Numbers as people write them: with separators of thousands, a percent sign, a currency or a unit;
and whether a column of texts says for sure which numbers it means.
"""

import re

import numpy as np
import pandas
from pydantic import BaseModel

from runner.config.schema import Dialect
from runner.data.arrays import Array

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

    def values(self, cells: pandas.DataFrame) -> Array:
        """Return cells as numbers, NaN where one is none in this style."""
        point = re.escape(self.decimal)
        group = re.escape(self.thousands)
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{group}\d{{3}})+)" if group else r"\d+"
        fits = cells["number"].str.fullmatch(
            rf"[-+]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?"
        ) & cells["unit"].isin(["", self.unit])
        texts = cells["sign"] + (
            cells["number"]
            .str.replace(self.thousands, "", regex=False)
            .str.replace(self.decimal, ".", regex=False)
        )
        return pandas.to_numeric(texts.where(fits), errors="coerce").to_numpy("float64")

    def __str__(self) -> str:
        """Return what is said behind the name of a column; nothing, where numbers are plain."""
        unit = f" in {self.unit}" if self.unit else ""
        return f"{unit} with thousands {self.thousands!r}" if self.thousands else unit


class DoubtfulNumber(Exception):  # noqa: N818 - what it is
    """A cell may be meant in two ways, or is no number among others: its index, and why."""


def split_cells(texts: "pandas.Series[str]") -> pandas.DataFrame:
    """Return each text with its sign, number and unit, "" where it is no number."""
    groups = texts.str.translate(ALIKE).str.extract(CELL).fillna("")
    unit = (groups[1] + groups[3]).str.strip()
    return pandas.DataFrame({"text": texts, "sign": groups[0], "number": groups[2], "unit": unit})


def style_of(cells: pandas.DataFrame, dialect: Dialect, *, asked: bool) -> Style | None:
    """Return the style that all cells are written in; None where they are no numbers.

    Args:
        cells: the different ones, as `split_cells` returns them.
        dialect: what the config says, if only by default.
        asked: the config says that these are numbers: some may lack the unit, and what may be
            meant in two ways is as `dialect` says.

    Raises:
        DoubtfulNumber: they seem to be numbers, but do not tell which.
    """
    unit = _unit_of(cells, asked)
    if unit is None:
        return None
    decimal = dialect.decimal
    thousands = dialect.thousands
    number = cells["number"]
    # what fits a number of so many digits fits all of these
    digits = number.str.replace(r"(?<=\d)\d", "1", regex=True)
    shapes = cells.assign(text="", number=digits).drop_duplicates()
    styles = [
        Style(decimal=point, thousands=group, unit=unit)
        for point in (decimal, "," if decimal == "." else ".")
        for group in THOUSANDS
        if group != point
    ]
    values = np.array([style.values(shapes) for style in styles])
    fits = ~np.isnan(values)
    of_all = np.flatnonzero(fits.all(axis=1)).tolist()
    if asked or thousands is not None:
        allowed = THOUSANDS if thousands is None else ("", thousands)
        for index in of_all:
            if styles[index].decimal == decimal and styles[index].thousands in allowed:
                return styles[index]
    is_simple = np.array([not style.thousands for style in styles])
    if fits[is_simple].any(axis=0).all():  # nothing proves separators of thousands
        is_sure = decimal == "." or (values[of_all] == values[of_all[:1]]).all()
        style = styles[of_all[0]] if of_all and is_sure else None
        # a point is one of decimals in all but a few files; a comma may stand in a list
        if style and not style.thousands and (decimal, style.decimal) != (".", ","):
            return style
    elif of_all and thousands is None:
        return styles[of_all[0]]
    if fits.any(axis=0).all():
        raise _doubt(number)
    return None


def _unit_of(cells: pandas.DataFrame, asked: bool) -> str | None:
    """Return the unit that all cells have; None where they are no numbers, or not of one unit."""
    texts = cells["text"]
    units = cells["unit"]
    is_number = cells["number"] != ""
    has_unit = texts.str.contains(UNIT) & is_number
    if not is_number.all():
        if 2 * has_unit.sum() <= len(cells):
            return None
        index = int(is_number.argmin())
        raise DoubtfulNumber(
            index,
            f"{texts[index]!r:.60} is not a number, unlike the other values; fix it, or add it "
            "to data.na_values",
        )
    different = set(units)
    if asked:
        different.discard("")
    if len(different) < 2:
        return "".join(different)
    if not (asked or has_unit.any() or "" in different):
        return None
    index = int((units != units[0]).argmax())
    raise DoubtfulNumber(
        index,
        f"{texts[index]!r} has a different unit from {texts[0]!r}; use one unit throughout, "
        "or, if a unit is merely missing, declare the column a number",
    )


def _doubt(numbers: "pandas.Series[str]") -> DoubtfulNumber:
    """Return which number may be meant in another way than was told, and why."""
    commas = np.flatnonzero(numbers.str.contains(","))
    points = np.flatnonzero(numbers.str.contains(".", regex=False))
    marked = [*commas, *points]
    index = int(marked[0]) if marked else 0
    number = numbers[index]
    if not marked:
        why = f"{number!r} has separators of thousands; is data.thousands right?"
    elif len(commas) and len(points):
        others = [numbers[point] for point in points if point != index]
        why = (
            f"{number!r} appears next to {(others or [number])[0]!r}; which is the decimal sign? "
            "Write all numbers of a column in the same way, or set data.decimal and data.thousands"
        )
    elif numbers[marked].str.fullmatch(r"[-+]?[1-9]\d{0,2}[.,]\d{3}").all():
        mark = "," if len(commas) else "."
        why = (
            f"{number!r} may be {number.replace(mark, '')} or {number.replace(mark, '.')}: set "
            f"data.thousands: '{mark}', or data.decimal: '{mark}' and data.thousands: ''"
        )
    else:
        mark = "comma" if len(commas) else "point"
        why = f"{number!r} has a {mark}; is data.decimal right?"
    return DoubtfulNumber(index, why)
