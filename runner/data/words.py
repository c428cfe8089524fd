"""The words of a column: those that a model is to know, and those that look the same."""

import string
from collections import Counter, defaultdict
from collections.abc import Iterable

from runner.data import log

VOCABULARY = 1000  # words that a model knows of the texts of a column
STANDARD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, string.punctuation)


def frequent(texts: Iterable[str]) -> list[str]:
    """Return the most frequent words of those that stand in several texts, taken apart as Keras'
    TextVectorization does it.
    """
    counts = Counter[str]()
    for text in texts:
        counts.update({*text.translate(STANDARD).split()})
    words = [word for word, count in counts.items() if count > 1]
    words.sort(key=lambda word: (-counts[word], word))
    return words[:VOCABULARY]


def say_what_is_alike(what: str, words: Iterable[str]) -> None:
    """Log which words only the spaces around them tell apart."""
    by_text = defaultdict[str, list[str]](list)
    for word in sorted({*words}):
        by_text[word.strip()].append(word)
    for text in sorted(by_text):
        alike = by_text[text]
        if len(alike) > 1:
            log.warning(
                "the %s %s differ only in the spaces around them; they count as different values",
                what,
                ", ".join(map(repr, alike)),
            )
