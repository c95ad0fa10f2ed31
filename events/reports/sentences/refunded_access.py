"""The sentence about access that is open though its purchase was refunded or canceled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from events.access import holdings, revocations, sentences
from events.models import EventLog, Grant
from events.reports import batches
from events.reports.access.standing import Standing, standings
from events.reports.sentences import ended_access
from events.reports.sentences.leads import AddRule, EndAccess, Lead, TurnOnRule
from events.reports.sentences.sentence import GOOD, SIGN_IN, WAIT, Code, Sentence, upper
from integrations.models import Customer
from integrations.sentences import Said, format_day, joined, say
from rules.models import Rule
from rules.triggers import TAKES_BACK, Trigger


def sentence(
    about: Standing,
    having: Sequence[Grant],
    facts: Mapping[str, object],
    left: EventLog,
    done: batches.Done,
    rule: Rule | None,
) -> Sentence | None:
    """Say that the student has it by the grants `having`, though `left` took their purchase back.

    None if that event has an ending that waits. `facts` has the "name", the "course" and "since"
    when; `done` the acts of batches on the events of all endings; `rule` ends it at such an event.
    """
    facts = {**facts, "ending": revocations.sentence(left)}
    end = _end(about, having)
    kept = [row for row in having if row.is_kept_after(about.unpaid[row.pk].received_at)]
    if kept:
        text = joined(_how_it_is_kept(about, kept[-1], facts, done))
        more = joined([text, say(SIGN_IN)])
        return Sentence(GOOD, more, Code.LET_KEEP, event=left.pk, leads=(end,), short=text)
    if any(run.event_id == left.pk for run in about.pending):
        return None
    text = _still_open(having[-1], left, facts)
    if rule is None:
        text = joined([text, say("A rule for that event ends it for the next buyers.")])
    elif not rule.enabled:
        text = joined([text, say("The rule that ends it is off.")])
    leads: list[Lead] = [TurnOnRule(rule.pk)] if rule and not rule.enabled else []
    if rule is None and left.product_id and left.trigger:
        leads.append(AddRule(left.product_id, trigger=Trigger(left.trigger)))
    leads.append(replace(end, may_keep=True))
    return Sentence(WAIT, text, Code.NOT_ENDED, event=left.pk, leads=(*leads,))


def _end(about: Standing, having: Sequence[Grant]) -> EndAccess:
    return EndAccess(about.customer.pk, holdings.key_of(having[-1]))


def _still_open(last: Grant, left: EventLog, facts: Mapping[str, object]) -> Said:
    if last.opened_at and last.is_opened_after(left.received_at):
        return say(
            "{name} has had {course} {since}, though {ending}. It was given back on {day}. If the "
            "customer should not keep it, end the access.",
            day=format_day(last.opened_at),
            **facts,
        )
    return say(
        "{name} has had {course} {since}, though {ending}. If the customer should not keep it, end "
        "the access.",
        **facts,
    )


def given_by_rule(about: Standing, having: Sequence[Grant], has: Said) -> Sentence | None:
    """Say that a rule gave it because its purchase was refunded or canceled, after `has`.

    None if one of the grants `having` was not given because of that.
    """
    events = [row.event for row in having if row.event and row.because in TAKES_BACK]
    if not events or len(events) < len(having):
        return None
    ending = upper(revocations.sentence(events[-1]))
    why = say(
        "{ending}, and a rule gave {course} because of that.", ending=ending, course=about.name
    )
    text, leads = joined([has, why]), (_end(about, having),)
    more = joined([text, say(SIGN_IN)])
    return Sentence(GOOD, more, Code.HAS, event=events[-1].pk, leads=leads, short=text)


def _how_it_is_kept(
    about: Standing, row: Grant, facts: Mapping[str, object], done: batches.Done
) -> Iterator[Said]:
    yield say("{name} has had {course} {since}, though {ending}.", **facts)
    if row.is_given_back and (ended := ended_access.who_ended(about, row, done)):
        person, day = ended
        yield say("{person} ended it on {day}.", person=person, day=day)
    yield joined([sentences.let_keep([row]), "."], by="")


def undecided(customer: Customer) -> dict[str, tuple[EventLog, list[Grant]]]:
    """Return what the customer still has after a refund or cancellation that nobody decided about.

    By the key of its holding: that event and the grants that give it.
    """
    found = {}
    for about in standings(customer):
        left, grants = about.not_ended, about.held
        if left is None:
            continue
        if not any(row.is_kept_after(about.unpaid[row.pk].received_at) for row in grants):
            found[holdings.key_of(grants[-1])] = (left, grants)
    return found
