"""Names in a sentence."""

from collections.abc import Sequence

from integrations.sentences import joined, say


def listed(names: Sequence[str]) -> str:
    """ "order 1183, order 1190 and order 1191" """
    if len(names) < 2:
        return "".join(names)
    return say("{names} and {last}", names=joined(names[:-1], ", "), last=names[-1])
