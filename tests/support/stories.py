"""What may happen to a shop and its school, as data: what arrives, what fails, who works."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.access_model import Event

# The sample of each kind. The last two have no rule, as in most shops.
SAMPLES = {
    "purchased": "12_product",
    "refunded": "20_product",
    "canceled": "30_subscription",
    "delinquent": "33_subscription",
    "recovered": "34a_subscription",
    "restarted": "35_subscription",
    "charged": "31_subscription",
    "charge_failed": "32_subscription",
}
# Minutes since the previous delivery. A negative one was received earlier and comes late, because
# it waited on disk while the database was away.
GAPS = [0, 0, 0, 1, 4, 11, -3]
# What the next call of that method meets; `applied`: its work is done anyway.
FAULTS: list[dict[str, Any]] = [
    {"kind": kind, "method": method, "path": path, "applied": applied, **more}
    for kind, more in (
        ("reset", {}),
        ("status", {"status": 500}),
        ("status", {"status": 400}),
        ("garbage", {}),
    )
    for method, path in (
        ("POST", "^/users$"),
        ("POST", "^/enrollments$"),
        ("POST", "^/bundles/[0-9]+/enrollments$"),
        ("PUT", ""),
        ("GET", ""),
    )
    for applied in (False, True)
    # Thinkific never does the work of a call that it refuses.
    if not (applied and more == {"status": 400})
]

# What only a live school can tell us; tests try each point both ways.
BEHAVIORS: list[tuple[str, Any]] = [
    ("bundle_rows", "members"),
    ("bundle_rows", "courses"),
    ("bundle_post", "later"),
    ("bundle_post", "created"),
    ("repeat_post", "same"),
    ("repeat_post", "refused"),
    ("repeat_post", "created"),
    ("null_clears", False),
    ("null_clears", "refused"),
    ("put_answer", "row"),
    ("put_answer", 200),
]

REFUSED = {"kind": "status", "method": "POST", "path": "^/users$", "applied": False, "status": 400}


@dataclass(frozen=True)
class Deliver:
    """A delivery is received; a repeat equals an earlier one."""

    kind: str
    person: int
    product: int
    order: int
    gap: int
    other: bool = False
    renewed: bool = False

    def event(self, at: int) -> Event:
        # An event that no rule matches names no student.
        other = self.other and self.kind != "charge_failed"
        return Event(at, self.kind, self.person, self.product, self.order, other, self.renewed)


@dataclass(frozen=True)
class Again:
    """The body of an earlier delivery comes again."""

    which: int
    gap: int


@dataclass(frozen=True)
class Work:
    """The inbox is read and what is due is carried out, as a task does it."""


@dataclass(frozen=True)
class Die:
    """Like `Work`, but the worker dies before its n-th database statement from now."""

    statement: int


@dataclass(frozen=True)
class Oversleep:
    """Runs are claimed and their worker dies at once."""


@dataclass(frozen=True)
class Meet:
    """The next call of a method meets a fault."""

    fault: int


@dataclass(frozen=True)
class Behave:
    """From now on the school behaves in this way."""

    behavior: int


@dataclass(frozen=True)
class Wait:
    """The time of everything that waits has come."""


@dataclass(frozen=True)
class Retry:
    """A person retries everything that failed."""


Step = Deliver | Again | Work | Die | Oversleep | Meet | Behave | Wait | Retry

DELIVER = st.builds(
    Deliver,
    st.sampled_from(list(SAMPLES)),
    # Mostly one person and few purchases, because only then do they share courses.
    st.sampled_from([0] * 6 + [1]),
    st.sampled_from([0, 0, 0, 1, 1, 2, 2, 3]),
    st.sampled_from([0] * 4 + [1]),
    st.sampled_from(GAPS),
    st.sampled_from([False] * 9 + [True]),
    st.sampled_from([False] * 3 + [True]),
)
# Most of a story is deliveries.
STEPS: st.SearchStrategy[Step] = st.one_of(
    *[DELIVER] * 4,
    st.builds(Again, st.integers(0, 5), st.sampled_from(GAPS)),
    st.just(Work()),
    st.builds(Die, st.integers(0, 60)),
    st.just(Oversleep()),
    st.builds(Meet, st.integers(0, len(FAULTS) - 1)),
    st.just(Wait()) | st.just(Retry()) | st.builds(Behave, st.integers(0, len(BEHAVIORS) - 1)),
)
STORIES = st.lists(STEPS, min_size=12, max_size=24)


def _told(*steps: str | Step) -> list[Step]:
    """Write a story in short: a word is one person's delivery, "refunded 2" is about product 2."""
    return [_delivery(each) if isinstance(each, str) else each for each in steps]


def _delivery(words: str) -> Deliver:
    kind, product, *_ = [*words.split(), "0"]
    return Deliver(kind, 0, int(product), 0, 0)


# Rare in drawn stories, but worth running each time.
KNOWN = [
    _told("purchased", "canceled", "restarted", "delinquent"),
    _told("purchased", Work(), "canceled", "delinquent", Work(), "recovered"),
    _told(Meet(FAULTS.index(REFUSED)), "purchased", Work(), "refunded", Work(), Retry(), Work()),
    _told("refunded", Work(), Deliver("purchased", 0, 0, 0, -3), Work()),
    _told("purchased", Again(0, 4), Deliver("refunded", 0, 0, 0, -3), Again(0, 0), Work()),
    # Two purchases give one course, and one of them is refunded.
    _told("purchased", "purchased 1", Work(), "refunded 1", Work()),
    _told("purchased", "purchased 2", Work(), "refunded 2", Work(), "refunded", Work()),
    _told("purchased 2", "purchased 1", "refunded 2", Work(), "refunded 1", Die(20), Work()),
    _told("purchased", Deliver("purchased", 0, 0, 1, 0), Work(), "refunded", Work(), "charged"),
    _told("purchased", Deliver("refunded", 0, 0, 0, 1, other=True), Work()),
    _told("purchased 1", "canceled 1", Deliver("charged", 0, 1, 0, 1, renewed=True), Work()),
    *[
        _told("purchased", Die(number), "canceled", Die(number), Work())
        for number in range(8, 60, 3)
    ],
    *[
        _told(
            Meet(fault), "purchased", Work(), Retry(), Meet(fault), "canceled", Wait(), "recovered"
        )
        for fault in range(len(FAULTS))
    ],
]
