"""The ledger's rules without a database: how each change affects the grants of a purchase."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.access import ledger
from events.access.ledger import BY_HAND, Change, Judgment
from events.access.sale import Sale
from events.models import Grant
from tests.support.longer import examples

SITE = 1
BUNDLE = "bundle:7"
INSIDE = (501, 502)  # the bundle's courses
COURSES = tuple(f"course:{number}" for number in INSIDE)
OPENING = ("product_purchased", "subscription_charged", "subscription_recovered")
ENDING = ("product_refunded", "subscription_canceled")


def day(number: float) -> datetime:
    return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(days=number)


@dataclass(frozen=True)
class Happening:
    """Something was received on this day that opens or ends a course or the bundle."""

    on: float
    trigger: str
    target: str = COURSES[0]

    @property
    def parts(self) -> frozenset[str]:
        return frozenset([self.target, *(COURSES if self.target == BUNDLE else ())])

    @property
    def change(self) -> Change:
        return Change(SITE, self.target, self.parts, self.trigger, day(self.on))


@dataclass
class Purchase:
    """The grants of one purchase, as an inbox keeps them."""

    rows: list[Grant] = field(default_factory=list)

    def take(self, what: Happening) -> Judgment:
        new = grant(what.target)
        if what.trigger in (*ENDING, BY_HAND):
            judgment, touched = ledger.end(what.change, self.rows, new)
        else:
            judgment, row = ledger.give(what.change, self.rows, new)
            touched = [row]
        self.rows += [row for row in touched if all(row is not each for each in self.rows)]
        return judgment

    def gives(self) -> set[str]:
        return {each for each in COURSES if ledger.holder(self.rows, SITE, each) is not None}


def grant(target: str = COURSES[0], **facts: object) -> Grant:
    inside = list(INSIDE) if target == BUNDLE else []
    named = {"marketplace_id": 1, "product_id": 1, "order_id": "1183", "customer_id": 1}
    return Grant(integration_id=SITE, target=target, course_ids=inside, **(named | facts))


def told(text: str) -> Happening:
    """ "2 refund bundle": on day 2 a refund, with a rule that ends the bundle."""
    on, what, *target = text.split()
    triggers = {
        "purchase": "product_purchased",
        "charge": "subscription_charged",
        "recovery": "subscription_recovered",
        "restart": "subscription_restarted",
        "refund": "product_refunded",
        "cancel": "subscription_canceled",
        "person": BY_HAND,
    }
    targets = {"one": COURSES[0], "two": COURSES[1], "bundle": BUNDLE}
    return Happening(float(on), triggers[what], targets[target[0] if target else "one"])


def after(story: str) -> tuple[str, str]:
    """The last judgment, and which courses the purchase gives then, as "one two"."""
    purchase, judgment = Purchase(), Judgment.OPEN
    for sentence in story.split(", "):
        judgment = purchase.take(told(sentence))
    words = dict(zip(COURSES, ("one", "two"), strict=True))
    return judgment.value, " ".join(sorted(words[each] for each in purchase.gives()))


# In the order of receipt


@pytest.mark.parametrize(
    ("story", "judgment", "gives"),
    [
        ("1 purchase", "open", "one"),
        ("1 purchase, 2 purchase", "open", "one"),
        ("1 purchase, 2 refund", "ends", ""),
        ("1 purchase, 2 refund, 3 refund", "ended_before", ""),
        ("1 purchase, 2 cancel, 3 refund", "ended_before", ""),
        ("1 purchase, 2 refund, 3 purchase", "barred", ""),
        ("1 purchase, 2 cancel, 3 charge", "open", "one"),
        ("1 purchase, 2 cancel, 3 recovery", "open", "one"),
        ("1 purchase, 2 cancel, 3 restart", "open", "one"),
        ("1 purchase, 2 cancel, 3 restart, 4 purchase", "open", "one"),
        ("1 purchase, 2 cancel, 3 restart, 4 cancel", "ends", ""),
        ("1 purchase, 2 cancel, 3 restart, 4 cancel, 5 purchase", "barred", ""),
        ("1 charge", "open", "one"),
        ("1 refund", "unknown_purchase", ""),
        ("1 refund, 2 purchase", "barred", ""),
        ("1 refund, 2 recovery", "open", "one"),
        ("1 refund, 2 recovery, 3 purchase", "open", "one"),
        ("1 purchase two, 2 refund", "gave_nothing", "two"),
    ],
)
def test_what_was_received_last_decides_and_an_ending_bars_the_purchase_alone(
    story, judgment, gives
):
    assert after(story) == (judgment, gives)


# In another order


@pytest.mark.parametrize(
    ("story", "judgment", "gives"),
    [
        ("2 refund, 1 purchase", "barred", ""),
        ("1 purchase, 3 recovery, 2 cancel", "late", "one"),
        ("1 purchase, 3 cancel, 2 recovery", "late", ""),
        ("3 recovery, 2 cancel, 1 purchase", "open", "one"),
        ("3 cancel, 2 recovery, 1 purchase", "barred", ""),
        ("1 purchase, 3 purchase, 2 refund", "ends", ""),
        ("1 purchase, 4 cancel, 2 cancel, 3 recovery", "late", ""),
        ("1 purchase, 2 cancel, 4 cancel, 3 recovery", "late", ""),
        ("3 purchase, 1 refund", "ends", ""),
        ("4 charge, 3 purchase, 2 refund", "late", "one"),
    ],
)
def test_what_is_read_late_changes_what_it_would_have_changed_in_its_time(story, judgment, gives):
    assert after(story) == (judgment, gives)


# By hand


@pytest.mark.parametrize("event", ["purchase", "charge", "recovery", "restart"])
def test_what_a_person_ended_no_later_event_of_its_purchase_opens(event):
    assert after(f"1 purchase, 2 person, 3 {event}") == ("ended_by_hand", "")


@pytest.mark.parametrize("event", ["charge", "recovery", "restart"])
def test_an_end_by_hand_stays_one_whatever_ends_it_again(event):
    assert after(f"1 purchase, 2 person, 3 cancel, 4 {event}") == ("ended_by_hand", "")


def test_a_course_that_a_person_ended_is_not_opened_by_a_bundle_of_its_purchase():
    judgment, gives = after("1 purchase bundle, 2 person one, 3 recovery bundle")
    assert (judgment, gives) == ("open", "two")


# Bundles


@pytest.mark.parametrize(
    ("story", "judgment", "gives"),
    [
        ("1 purchase bundle", "open", "one two"),
        ("1 purchase bundle, 2 refund bundle", "ends", ""),
        ("1 purchase bundle, 2 refund one", "ends", "two"),
        ("1 purchase one, 1 purchase two, 2 refund bundle", "ends", ""),
        ("1 purchase one, 2 refund bundle", "ends", ""),
        ("1 purchase one, 1 purchase bundle, 2 refund one", "ends", "two"),
        ("1 purchase one, 1 purchase bundle, 2 refund bundle", "ends", ""),
        ("1 purchase bundle, 2 cancel one, 3 recovery bundle", "open", "one two"),
        ("1 purchase bundle, 2 cancel bundle, 3 recovery one", "open", "one"),
        ("1 purchase bundle, 2 cancel bundle, 3 recovery one, 4 cancel one", "ends", ""),
        ("1 purchase bundle, 3 recovery one, 2 cancel bundle", "ends", "one"),
        ("2 refund bundle, 1 purchase one", "barred", ""),
        ("2 refund one, 1 purchase bundle", "open", "two"),
        ("1 purchase bundle, 3 recovery bundle, 2 cancel one", "late", "one two"),
    ],
)
def test_a_course_counts_the_same_bought_alone_and_in_a_bundle(story, judgment, gives):
    assert after(story) == (judgment, gives)


@pytest.mark.parametrize("inside", [[], [501], [501, 502, 503]])
def test_a_bundle_ends_whole_whichever_courses_it_has_by_then(inside):
    bought, ends = grant(BUNDLE), told("2 refund bundle").change
    ledger.open_it(bought, told("1 purchase bundle").change)
    now = frozenset([BUNDLE, *(f"course:{number}" for number in inside)])
    judgment, touched = ledger.end(replace(ends, parts=now), [bought], grant(BUNDLE))
    assert (judgment, touched, bought.is_active) == (Judgment.ENDS, [bought], False)


# What a person waived


def test_an_ending_bars_the_purchase_of_what_a_person_dismissed():
    purchase = Purchase()
    purchase.take(told("1 purchase"))
    purchase.rows[0].state = Grant.State.WAIVED
    purchase.take(told("2 refund"))
    assert purchase.take(told("3 purchase")) is Judgment.BARRED


# One purchase and another


ONE = {"marketplace": 1, "product": 1, "order_id": "1183", "subscription_id": "900"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"order_id": "1190"}, True),
        ({"order_id": ""}, True),
        ({"subscription_id": ""}, True),
        ({"product": None}, True),
        ({"subscription_id": "901"}, False),
        ({"product": 2}, False),
        ({"marketplace": 2}, False),
        ({"order_id": "1190", "subscription_id": ""}, False),
        ({"order_id": "", "subscription_id": ""}, False),
    ],
)
def test_the_subscription_names_a_purchase_and_else_the_order(other, same):
    one, two = Sale(**cast(Any, ONE)), Sale(**cast(Any, ONE | other))
    assert (one.is_same(two), two.is_same(one)) == (same, same)


def test_each_purchase_is_a_source_and_each_grant_that_none_gave():
    bought = [grant(), grant(COURSES[1]), grant(order_id="1190"), grant(subscription_id="900")]
    given = [grant(pk=1, source="hand"), grant(pk=2, source="before")]
    sizes = [len(rows) for rows in ledger.by_source([*bought, *given]).values()]
    assert sorted(sizes) == [1, 1, 1, 1, 2]


def nameless(told_each: str) -> set[str]:
    """What the grants of a sale without order and subscription give: each purchase has its own."""
    rows = []
    for each in told_each.split(", "):
        happening = told(each)
        own = grant(happening.target, order_id="")
        if happening.trigger in OPENING:
            ledger.open_it(own, happening.change)
        else:
            ledger.end_it(own, happening.change)
        rows.append(own)
    assert len(ledger.by_source(rows)) == 1
    return {name for (_, name) in ledger.holders(rows) if name in COURSES}


@pytest.mark.parametrize(
    ("story", "gives"),
    [
        ("1 purchase, 2 refund", []),
        ("1 refund, 2 purchase", ["course:501"]),
        ("1 person, 2 purchase", ["course:501"]),
        ("1 refund bundle, 2 purchase bundle", ["course:501", "course:502"]),
        ("1 purchase bundle, 2 refund one", ["course:502"]),
        ("1 purchase bundle, 2 person one, 3 charge bundle", ["course:502"]),
        ("1 purchase bundle, 2 refund one, 3 purchase bundle", ["course:501", "course:502"]),
    ],
)
def test_without_an_order_each_purchase_is_a_new_one_that_earlier_endings_do_not_concern(
    story, gives
):
    assert sorted(nameless(story)) == gives


# Any order


def fold(happenings: list[Happening]) -> set[str]:
    """Which courses a purchase gives: the last that was received decides on each of them."""
    found = set()
    for course in COURSES:
        gives = ended = False
        for each in sorted(happenings, key=lambda each: each.on):
            if course in each.parts and each.trigger in ENDING:
                gives, ended = False, True
            elif course in each.parts and not (each.trigger == OPENING[0] and ended):
                gives = True
        found |= {course} if gives else set()
    return found


HAPPENINGS = st.builds(
    Happening,
    st.integers(0, 30).map(float),
    st.sampled_from([*OPENING, *ENDING]),
    st.sampled_from([*COURSES, BUNDLE]),
)
STORIES = st.lists(HAPPENINGS, min_size=1, max_size=7, unique_by=lambda each: each.on)


def test_the_purchase_gives_the_same_in_whatever_order_its_events_are_read():
    @examples(300, 20_000)
    @given(STORIES)
    @example([told(each) for each in ("2 charge", "3 purchase", "1 refund")])
    @example([told(each) for each in ("3 purchase", "2 charge", "1 refund")])
    @example([told(each) for each in ("2 refund one", "3 purchase bundle")])
    def hold(happenings: list[Happening]) -> None:
        purchase = Purchase()
        for each in happenings:
            purchase.take(each)
        assert purchase.gives() == fold(happenings)

    hold()


@pytest.mark.parametrize("target", [COURSES[0], BUNDLE])
@pytest.mark.parametrize("ended", [COURSES[0], BUNDLE])
def test_what_a_person_let_the_buyer_keep_is_ended_only_by_what_comes_later(target, ended):
    purchase = Purchase()
    purchase.take(Happening(1, "product_purchased", target))
    given = purchase.gives()
    purchase.rows[0].kept_at = day(3)
    assert purchase.take(Happening(2, "product_refunded", ended)) is Judgment.LET_KEEP
    assert purchase.gives() == given
    assert purchase.take(Happening(4, "product_refunded", ended)) is Judgment.ENDS
    assert COURSES[0] not in purchase.gives()
