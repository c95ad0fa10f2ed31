"""Sentences about buyers who have what a rule gave before it was changed or deleted."""

from collections.abc import Mapping, Sequence

from config.admin.parts.badges import brief
from events.reports.changed_rules.left_behind import LeftBehind
from events.reports.changed_rules.left_behind_summary import LeftBehindByRule
from integrations.models import Product
from integrations.sentences import Said, joined, say, say_count
from rules.listing import listed, of_several
from rules.models import Rule

COURSES_NAMED = 3


def in_words(found: LeftBehind | LeftBehindByRule) -> Said:
    """Return a sentence such as: 2 buyers got Ink or Wash through this rule, and keep it.

    It adds how many of them were refunded or canceled since.
    """
    return joined([_who_keeps_it(found), taken_back(found.taken_back)])


def taken_back(customers: int) -> Said | str:
    """Return that this many buyers were refunded or canceled and still have it; "" for none."""
    if not customers:
        return ""
    return say_count(
        customers,
        "The purchase of 1 buyer was refunded or canceled since.",
        "The purchases of {number} buyers were refunded or canceled since.",
    )


def _who_keeps_it(found: LeftBehind | LeftBehindByRule) -> Said:
    names = [*map(brief, found.courses)]
    values: dict[str, object] = {
        "courses": of_several(names, COURSES_NAMED, found.customers),
        "more": "+" if found.more else "",
    }
    if found.is_gone:
        return _whose_course_is_gone(found, values)
    if found.rule is None:
        return say_count(
            found.customers,
            "1 buyer got {courses} through a deleted rule, and keeps it.",
            "{number}{more} buyers got {courses} through a deleted rule, and keep it.",
            **values,
        )
    return say_count(
        found.customers,
        "1 buyer got {courses} through this rule, and keeps it.",
        "{number}{more} buyers got {courses} through this rule, and keep it.",
        **values,
    )


def _whose_course_is_gone(
    found: LeftBehind | LeftBehindByRule, values: Mapping[str, object]
) -> Said:
    if found.rule is None:
        return say_count(
            found.customers,
            "Thinkific no longer has {courses}, which 1 buyer got through a deleted rule.",
            "Thinkific no longer has {courses}, which {number}{more} buyers got through a deleted "
            "rule.",
            **values,
        )
    return say_count(
        found.customers,
        "Thinkific no longer has {courses}, which 1 buyer got through this rule.",
        "Thinkific no longer has {courses}, which {number}{more} buyers got through this rule.",
        **values,
    )


def label(found: LeftBehindByRule) -> Said:
    """Return the label of the link to the page of these buyers: it says what can be done there.

    Refunded buyers cannot be moved, but their access can be ended.
    """
    if found.moves:
        return say("See and move them")
    if found.taken_back == found.customers and found.rule is not None and found.rule.enabled:
        return say("See and end it")
    return say("See who")


def of_refunded(found: LeftBehind) -> Said:
    """Return how many refunded or canceled buyers were not moved, and what they still have."""
    return say_count(
        found.customers,
        "1 refunded or canceled buyer was not moved, and still has {courses}.",
        "{number} refunded or canceled buyers were not moved, and still have {courses}.",
        courses=listed([brief(name) for name in found.courses], COURSES_NAMED),
    )


def still_named(left: Sequence[Rule], product: Product | None) -> Said:
    """Return that other rules of the product still name what one of them gave before.

    They do not follow by themselves. None stands for the global rules.
    """
    course = listed([*dict.fromkeys(brief(rule.destination) for rule in left)], COURSES_NAMED)
    if product is None:
        return say_count(
            len(left),
            "1 other global rule still names {course}.",
            "{number} other global rules still name {course}.",
            course=course,
        )
    return say_count(
        len(left),
        "1 other rule of {product} still names {course}.",
        "{number} other rules of {product} still name {course}.",
        product=brief(product.name),
        course=course,
    )
