"""List names in a sentence."""

from collections.abc import Sequence

from integrations.sentences import Said, Text, joined, say, say_count, separator


def listed(names: Sequence[Text], most: int | None = None) -> Said:
    """Join names: "order 1183, order 1190 and order 1191".

    `most` limits how many are named: "order 1183 and 2 more". With a name that has a comma, they
    are separated by semicolons: "Ink, Basics; Oil; and Wash".
    """
    more = 0 if most is None else len(names) - most
    shown = [*names[:most], say_count(more, "1 more", "{number} more")] if more > 0 else names
    if len(shown) < 2:
        return joined(shown)
    by = separator(shown)
    others, last = joined(shown[:-1], by), shown[-1]
    if by == "; ":
        return say("{others}; and {last}", others=others, last=last)
    return say("{others} and {last}", others=others, last=last)
