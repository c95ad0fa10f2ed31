"""What the overview says first, from the same facts as its alarms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.admin.pages.overview import headline_promise
from config.admin.parts.badges import AMBER, GREEN, RED
from events.reports.counting import format_count
from integrations.sentences import say, say_count, separated

IN_NEED = "sites-in-need"  # the id of the section of integrations that need a person
# The sentence, and the section of the page that tells more, or the address where it is mended.
Alarm = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the overview that may need a person; `Facts()` means that nothing does."""

    silent: bool = False  # no worker was seen lately
    history: str = ""  # how far past events are read, "" once all are
    rejected: Sequence[str] = ()  # sites that are on and whose key Thinkific rejects
    not_let_in: Sequence[str] = ()  # sites that are on and never connected: address or key is wrong
    denied: Sequence[str] = ()  # sites that are on and deny the API: their plan or a permission
    unsigned: Sequence[str] = ()  # receivers that are on and whose secret cannot be opened
    unreachable: Sequence[str] = ()  # integrations that are on and do not answer
    problems: Sequence[str] = ()  # titles of what else is wrong with the installation
    stranded: int = 0  # students
    failed: int = 0
    held: int = 0
    not_in: int = 0  # buyers who paid
    not_understood: int = 0  # events
    behind: str = ""  # a sentence that buyers have what no rule gives anymore
    missing_courses: int = 0  # courses and bundles that Thinkific no longer has, and rules give
    left_over: int = 0  # leftover rules that give a course, or that what is given now lacks
    turned_off: int = 0  # products that give nothing because their rules are off
    refunds_off: int = 0  # rules that are off and would end access on a refund
    cancellations_off: int = 0  # the same, on a cancellation
    giving_off: int = 0  # global rules that gave access and were turned off lately
    only_global: int = 0  # products that are sold and have no rule of their own, as others have
    own_off: int = 0  # products that are sold, and whose own rules are off
    without_rule: int = 0  # products that were sold and for which no rule gives anything
    not_given_yet: int = 0  # buyers who lack what the product's own rule gives now
    deleted: Sequence[str] = ()  # sentences that rules for refunds were deleted
    waiting_for_off: int = 0  # actions of integrations that are turned off
    never_sent: int = 0  # triggers that rules wait for
    expiring: int = 0  # access tokens
    to_set_up: int = 0  # lines of the checklist

    @property
    def needs_attention(self) -> bool:
        """Whether the section of actions and events that need a person is not empty."""
        return bool(
            self.history
            or self.stranded
            or self.failed
            or self.held
            or self.not_understood
            or self.behind
            or self.missing_courses
            or self.left_over
            or self.turned_off
            or self.refunds_off
            or self.cancellations_off
            or self.giving_off
            or self.deleted
        )


@dataclass(frozen=True, slots=True)
class Headline:
    """`parts` are (sentence, address that tells more), `kind` is a color of badges.

    `is_kept` says that the first part is good news, whatever follows.
    """

    kind: str
    parts: tuple[tuple[str, str], ...]
    is_kept: bool


def headline(
    facts: Facts,
    *,
    see: str,
    see_ended: str = "",
    enter_key: str = "",
    buyers: int = 0,
    all_buyers: int = 0,
    on_the_way: int = 0,
    more_bought: bool = False,
    purchases: int = 0,
    ended: int = 0,
    undone: str = "",
) -> Headline:
    """Return how the promise is kept, then what needs a person, the gravest first.

    `buyers` counts the buyers of this week who have access, of `all_buyers` who were not refunded
    or canceled since; with `more_bought` those of the newest MAX_COUNT purchases. `see` is the
    address of the list of buyers who paid and have no access, which has a line for each of their
    `purchases`. `see_ended` is the address of the acts by which persons `ended` the access of so
    many others. That, and what was `undone` on purpose, is no alarm. `enter_key` is the address
    where the only wrong key is entered. The headline is calm only if nothing needs a person.
    """
    grave = list(_grave(facts, enter_key))
    found = [*grave, *_others(facts)]
    alarms = [(text, where if "/" in where else f"#{where}") for text, where in found]
    promise: list[tuple[str, str]] = []
    if facts.not_in:
        promise = [
            (headline_promise.not_in(facts.not_in, purchases), ""),
            (say("See them."), see),
        ]
    else:
        of = max(all_buyers, buyers)
        have = headline_promise.have_access(buyers, of, on_the_way, more_bought=more_bought)
        told = (have, ""), (headline_promise.ended(ended), see_ended), (undone, "")
        promise = [(text, where) for text, where in told if text]
    if not alarms and not facts.not_in:
        calm = (say("Nothing needs your attention."), "")
        return Headline(GREEN, (*promise, calm), is_kept=True)
    return Headline(RED if grave else AMBER, (*promise, *alarms), is_kept=not facts.not_in)


def _grave(facts: Facts, enter_key: str) -> Iterator[Alarm]:
    """Yield the alarms about what stops sales."""
    about_key = enter_key or IN_NEED
    if facts.silent:
        yield say("Nothing is being carried out: no worker is running."), "silent"
    if names := separated(facts.rejected):
        yield say("Thinkific rejects the key of {names}.", names=names), about_key
    if names := separated(facts.not_let_in):
        text = say("{names} never connected: the address or the key is wrong.", names=names)
        yield text, about_key
    if names := separated(facts.denied):
        text = say("The plan of {names} has no API access, or the key no permission.", names=names)
        yield text, IN_NEED
    if names := separated(facts.unsigned):
        yield say("The signing secret of {names} cannot be opened.", names=names), IN_NEED
    if facts.problems:
        yield f"{'. '.join(facts.problems)}.", "problems"
    if names := separated(facts.unreachable):
        yield say("Cannot connect to {names}.", names=names), IN_NEED
    if n := facts.stranded:
        text = say_count(
            n,
            "1 student paid and may have lost access.",
            "{number} students paid and may have lost access.",
            number=format_count(n),
        )
        yield text, "attention"
    if n := facts.failed:
        text = say_count(n, "1 action failed.", "{number} actions failed.", number=format_count(n))
        yield text, "attention"


def _others(facts: Facts) -> Iterator[Alarm]:
    """Yield the alarms that may wait for a while."""
    if facts.history:
        yield facts.history, "attention"
    if facts.behind:
        yield facts.behind, "attention"
    yield from _waiting(facts)
    if n := facts.never_sent:
        yield (
            say_count(
                n,
                "SamCart never sent 1 trigger that a rule waits for.",
                "SamCart never sent {number} triggers that rules wait for.",
            ),
            "missing",
        )
    if n := facts.expiring:
        text = say_count(
            n, "1 access token is about to expire.", "{number} access tokens are about to expire."
        )
        yield text, IN_NEED
    if n := facts.to_set_up:
        text = say_count(n, "1 step left to set up.", "{number} steps left to set up.")
        yield text, "checklist"


def _waiting(facts: Facts) -> Iterator[Alarm]:
    if n := facts.held:
        text = say_count(
            n,
            "1 action waits for you.",
            "{number} actions wait for you.",
            number=format_count(n),
        )
        yield text, "attention"
    if n := facts.waiting_for_off:
        text = say_count(
            n,
            "1 action is waiting for an integration that is turned off.",
            "{number} actions are waiting for an integration that is turned off.",
            number=format_count(n),
        )
        yield text, IN_NEED
    if n := facts.not_understood:
        text = say_count(
            n,
            "1 event was not understood.",
            "{number} events were not understood.",
            number=format_count(n),
        )
        yield text, "attention"
    yield from _rules(facts)


def _rules(facts: Facts) -> Iterator[Alarm]:
    yield from _without_own(facts)
    if n := facts.missing_courses:
        text = say_count(
            n,
            "Rules give 1 course that Thinkific no longer has.",
            "Rules give {number} courses that Thinkific no longer has.",
        )
        yield text, "attention"
    yield from _off(facts)
    yield from ((text, "attention") for text in facts.deleted)
    if n := facts.left_over:
        text = say_count(
            n,
            "1 leftover rule is about access that is no longer given.",
            "{number} leftover rules are about access that is no longer given.",
        )
        yield text, "attention"


def _without_own(facts: Facts) -> Iterator[Alarm]:
    if n := facts.not_given_yet:
        text = say_count(
            n,
            "1 buyer does not have what the product's own rule gives now.",
            "{number} buyers do not have what their products' own rules give now.",
            number=format_count(n),
        )
        yield text, "before-rule"
    if n := facts.without_rule:
        text = say_count(
            n,
            "1 product has no rule: its next buyer gets nothing.",
            "{number} products have no rules: their next buyers get nothing.",
        )
        yield text, "without-rule"
    if n := facts.only_global:
        text = say_count(
            n,
            "1 product is sold without a rule of its own.",
            "{number} products are sold without a rule of their own.",
        )
        yield text, "without-rule"
    if n := facts.own_off:
        text = say_count(
            n,
            "1 product is sold while its own rule is off.",
            "{number} products are sold while their own rules are off.",
        )
        yield text, "without-rule"


def _off(facts: Facts) -> Iterator[Alarm]:
    if n := facts.turned_off:
        text = say_count(
            n,
            "1 product gives nothing: its rule is off.",
            "{number} products give nothing: their rules are off.",
            number=format_count(n),
        )
        yield text, "attention"
    if n := facts.refunds_off:
        text = say_count(
            n,
            "1 rule that ends access on a refund is off.",
            "{number} rules that end access on a refund are off.",
            number=format_count(n),
        )
        yield text, "attention"
    if n := facts.cancellations_off:
        text = say_count(
            n,
            "1 rule that ends access on a cancellation is off.",
            "{number} rules that end access on a cancellation are off.",
            number=format_count(n),
        )
        yield text, "attention"
    if n := facts.giving_off:
        text = say_count(
            n,
            "1 global rule that gives access was turned off.",
            "{number} global rules that give access were turned off.",
            number=format_count(n),
        )
        yield text, "attention"
