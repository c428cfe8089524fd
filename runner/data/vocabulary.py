"""The words that a model knows of the texts of a column."""

import string
from collections import Counter
from collections.abc import Iterable

SIZE = 1000
STANDARD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase, string.punctuation)


def frequent(texts: Iterable[str]) -> list[str]:
    """Return the most frequent words of those that stand in several texts, taken apart as Keras'
    TextVectorization does it.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({*text.translate(STANDARD).split()})
    words = [word for word, count in counts.items() if count > 1]
    words.sort(key=lambda word: (-counts[word], word))
    return words[:SIZE]
