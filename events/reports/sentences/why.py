"""Say in one sentence, with a stable code, why a student has a course or bundle, or has not."""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from events.access import sentences
from events.access.ledger import Judgment
from events.execution import gone_destinations, rule_history, wait_reasons
from events.models import EventLog, Grant, RuleRun
from events.reports import batches
from events.reports.access.standing import CLOSED, Standing, is_waived, standings
from events.reports.sentences import (
    ended_access,
    holders,
    missing_access,
    moved_access,
    pending_endings,
    refunded_access,
    undecided,
)
from events.reports.sentences.ending_rules import Ending, ending_rules
from events.reports.sentences.leads import ReplaceCourse
from events.reports.sentences.sentence import (
    GOOD,
    HAS,
    QUIET,
    SIGN_IN,
    WAIT,
    Code,
    Sentence,
    TakenAway,
    happening,
    of_open_action,
    of_order,
    outcome,
)
from events.reports.sentences.short_lived import was_mistake
from integrations.audit import Act
from integrations.models import AuditEntry, Customer, Destination
from integrations.sentences import Said, Text, format_day, format_time, joined, say, say_count
from integrations.targets import Target
from integrations.who import shown_who
from rules.models import Rule

Status, Source = RuleRun.Status, Grant.Source
BESIDES: dict[str, Text] = {
    Status.FAILED: _("{name}, {course}: it failed{order}."),
    Status.HELD: _("{name}, {course}: it waits for you{order}."),
    Status.WAITING: _("{name}, {course}: it is waiting{order}."),
}


def of_customer(customer: Customer) -> list[tuple[Standing, Sentence]]:
    """The state of each course and bundle for the customer, and why, newest first."""
    found = standings(customer)
    undecided = [each.undecided for each in found]
    waiting = wait_reasons.reasons([run for run in undecided if run is not None])
    done_to = batches.acts_on([run for each in found for run in each.runs if run.spec.ends_access])
    given_back = ended_access.to_give_back(found)
    rules = ending_rules([*filter(None, map(_missed_ending, found))])
    told = [(each, _sentence(each, waiting, done_to, given_back, rules)) for each in found]
    has = [(each.integration, each.target) for each, sentence in told if sentence.code in HAS]
    gone = gone_destinations.among(has)
    told = [
        (each, _is_gone(each, course) if course and sentence.code in HAS else sentence)
        for each, sentence in told
        for course in [gone.get((each.integration, each.target))]
    ]
    return moved_access.with_what_became_of_it(told)


def display_name(customer: Customer) -> str:
    """Return the customer's name for sentences."""
    return customer.first_name.strip()[:60] or say("The customer")


def besides(run: RuleRun) -> Sentence:
    """Return a sentence for an action that changes no access and is not done yet."""
    what = str(run.spec.label)
    reason = wait_reasons.reason(run)
    return of_open_action(run, Code.BESIDES, BESIDES, what, run.destination_name, reason)


def _sentence(
    about: Standing,
    waiting: Mapping[int, str],
    done_to: batches.Done,
    given_back: Mapping[int, RuleRun],
    rules: Mapping[Ending, Rule],
) -> Sentence:
    name, run = display_name(about.customer), about.undecided
    if about.pending and not about.grants:
        return pending_endings.lines(about)[0]  # of access from before Admit
    if run is not None:
        return undecided.sentence(name, about, run, waiting[run.pk])
    if about.held:
        return _has(name, about, done_to, rules)
    if about.given:
        return missing_access.sentence(name, about)
    if about.waiving_run is not None:
        return _was_done(about.waiving_run, {"name": name, "course": about.name}, done_to)
    if about.ended is not None and about.ended.opened_at:
        return ended_access.sentence(name, about, about.ended, given_back, done_to)
    return _never_given(name, about, done_to)


def _is_gone(about: Standing, course: Destination) -> Sentence:
    text = say(
        "{name} cannot open {course}: it is gone from Thinkific. Give another course in its place.",
        name=display_name(about.customer),
        course=about.name,
    )
    lead = ReplaceCourse(about.customer.pk, course.pk, has_rules=course.rules.exists())
    return Sentence(WAIT, text, Code.GONE, leads=(lead,))


def _has(
    name: str, about: Standing, done_to: batches.Done, rules: Mapping[Ending, Rule]
) -> Sentence:
    paid = [row for row in about.held if row.pk not in about.unpaid]
    having = paid or about.held
    facts = {"name": name, "course": about.name, "since": holders.since(about, having)}
    left, missed = about.not_ended, _missed_ending(about)
    if left and missed:
        rule = rules.get(missed)
        if still := refunded_access.sentence(about, having, facts, left, done_to, rule):
            return still
    code, text = (
        Code.HAS,
        joined([say("{name} has had {course} {since}.", **facts), _corrected(about)]),
    )
    over, first = about.ended, having[0].opened_at
    mine = over is not None and not moved_access.ended_elsewhere(over, about.customer)
    if mine and over and over.opened_at and over.ended_at and first and over.ended_at > first:
        code = Code.STILL_GIVEN
        text = say_count(
            len(having),
            "{name} has had {course} {since}, which keeps it open after {cause}.",
            "{name} has had {course} {since}, which keep it open after {cause}.",
            cause=sentences.cause(over),
            **facts,
        )
    if given := refunded_access.given_by_rule(about, having, text):
        return given
    return Sentence(GOOD, joined([text, say(SIGN_IN)]), code, short=text, advises_sign_in=True)


def _missed_ending(about: Standing) -> Ending | None:
    """Return what the refund or cancellation that left it open should have ended."""
    left = about.not_ended
    if left is None:
        return None
    place = (about.integration, about.target)
    return Ending(left.marketplace_id, left.product_id, left.trigger, *place)


def _corrected(about: Standing) -> Said | None:
    """Say what took the place of a course that was gone, and when; None if nothing did."""
    wrong = about.instead_of
    if wrong is None:
        return None
    rule = next((run.rule_id for run in reversed(about.runs) if run.spec.gives_access), None)
    entries = AuditEntry.objects.filter(
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number=str(rule),
        at__gte=wrong.decided_at,
        before__has_key="destination",
    )
    day = entries.order_by("-pk").values_list("at", flat=True).first()
    if day is None:
        return None
    same = Destination.objects.of_target(wrong.integration_id, wrong.target)
    if same.filter(by_hand=False).exists():  # Thinkific had it once
        facts = {"course": wrong.name, "moment": format_time(day)}
        return say("On {moment} it was chosen in place of {course}.", **facts)
    number = str(Target.parse(about.target).number)
    return say(
        "Its number was corrected to {number} on {moment}.", number=number, moment=format_time(day)
    )


def _never_given(name: str, about: Standing, done_to: batches.Done) -> Sentence:
    """Return the sentence for what was never opened, or has no grant anymore."""
    done = [run for run in about.runs if run.status == Status.DONE]
    run = (done or about.runs or (None,))[-1]
    facts = {"name": name, "course": about.name}
    moved = [each.event for each in about.runs if each.event.by_hand == EventLog.ByHand.MOVE_AWAY]
    if moved:
        return moved_access.sentence(facts, moved[-1])
    if about.ended is not None and any(each.code == Judgment.BARRED for each in about.runs):
        text = say(
            "{name} has no access to {course}: {cause} was received before its purchase.",
            cause=sentences.cause(about.ended),
            **facts,
        )
        return Sentence(QUIET, text, Code.BARRED, run=run.pk if run else None)
    if run is None or not done:  # it was dismissed, or nothing had to end; Thinkific was not asked
        ends = run is not None and run.spec.ends_access
        text = (
            say("{name}: no access to {course} was ended.", **facts)
            if ends
            else say("{name}: {course} was not given.", **facts)
        )
        text = joined([text, run.message if run else ""])
        return Sentence(QUIET, text, Code.NOT_GIVEN, run=run.pk if run else None)
    return _was_done(run, facts, done_to)


def _was_done(run: RuleRun, facts: dict[str, str], done_to: batches.Done) -> Sentence:
    """Say what an action did that has no grant anymore, or a waived one."""
    if is_waived(run):
        return _replaced(run, facts, done_to)
    if run.spec.ends_access and run.code in CLOSED:
        cause = happening(run)
        text = say("{name} has no access to {course}: {cause} ended it.", cause=cause, **facts)
        return Sentence(QUIET, text, Code.ENDED, run=run.pk)
    if moved := moved_access.what_kept_it_open(run, facts):
        return moved
    if run.spec.ends_access:
        text = joined([say("{name} has no access to {course}.", **facts), outcome(run)])
        return Sentence(QUIET, text, Code.NOT_GIVEN, run=run.pk)
    facts |= {
        "moment": format_time(run.finished_at or run.received_at),
        "order": of_order(run.event),
    }
    got = say("{name} got {course} on {moment}{order}.", **facts)
    if run.integration is None:
        got = say(
            "{name} got {course} on {moment}{order}, but the site {site} is not connected anymore.",
            site=run.site,
            **facts,
        )
    text = joined([got, say("Check in Thinkific whether it still opens.")])
    return Sentence(WAIT, text, Code.NOT_CONNECTED, run=run.pk)


def _replaced(run: RuleRun, facts: dict[str, str], done_to: batches.Done) -> Sentence:
    """Return the sentence for what a rule had given and a person ended by this action."""
    undo = batches.last_undo(run.event_id, done_to, run.destination_name)
    act = undo or batches.last_ending(run, done_to)
    at = act.at if act else run.finished_at or run.received_at
    facts |= {"person": shown_who(act.who) if act else say("a person"), "day": format_day(at)}
    text = _how_it_was_replaced(run, facts, is_undone=undo is not None)
    # Access that was moved to another address was bought with an event of its own.
    bought = run.grant.event if run.grant and run.grant.event else run.event
    product = run.event.product or bought.product
    mistake = undo is None and was_mistake(run, product.pk if product else None, at)
    taken_away = TakenAway(at, product, undo is not None, bought.pk, mistake)
    return Sentence(QUIET, text, Code.REPLACED, run=run.pk, taken_away=taken_away)


def _how_it_was_replaced(run: RuleRun, facts: dict[str, str], *, is_undone: bool) -> Said:
    """Say how a person ended it; `facts` are a name, the course, the person and the day."""
    if is_undone:
        return say(
            "{name} has no access to {course}: {person} undid on {day} what had given it.", **facts
        )
    if rule_history.is_deleted(run):
        return say(
            "{name} has no access to {course}: {person} ended on {day} what a deleted rule had "
            "given.",
            **facts,
        )
    return say(
        "{name} has no access to {course}: {person} ended it on {day}, after its rule had changed.",
        **facts,
    )
