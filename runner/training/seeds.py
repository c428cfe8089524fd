"""Seeds derived from names, so that nothing that ran before decides what is drawn."""

import hashlib


def derive_seed(*names: object) -> int:
    """Return a seed that depends on these names alone, from 1 to 2^31 - 1: Keras Tuner reads 0 as
    any.
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4]) % (2**31 - 1) + 1
