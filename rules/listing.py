"""List names in a sentence."""

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from integrations.sentences import Said, Text, joined, say, say_count, separator


def listed(names: Sequence[Text], most: int | None = None, *, any_of: bool = False) -> Said:
    """Join names: "order 1183, order 1190 and order 1191"; with `any_of`, "or" is the last word.

    `most` limits how many are named: "order 1183 and 2 more". With a name that has a comma, they
    are separated by semicolons: "Ink, Basics; Oil; and Wash".
    """
    more = 0 if most is None else len(names) - most
    shown = [*names[:most], say_count(more, "1 more", "{number} more")] if more > 0 else names
    if len(shown) < 2:
        return joined(shown)
    by = separator(shown)
    others, last = joined(shown[:-1], by), shown[-1]
    text = {
        ("; ", False): _("{others}; and {last}"),
        ("; ", True): _("{others}; or {last}"),
        (", ", False): _("{others} and {last}"),
        (", ", True): _("{others} or {last}"),
    }[by, any_of]
    return say(text, others=others, last=last)


def of_several(names: Sequence[Text], most: int, people: int) -> Said:
    """Join names of what these people have: each has one of them at least, one person has all."""
    return listed(names, most, any_of=people > 1)
