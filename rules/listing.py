"""Names in a sentence."""

from collections.abc import Sequence


def listed(names: Sequence[str]) -> str:
    """ "order 1183, order 1190 and order 1191" """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
