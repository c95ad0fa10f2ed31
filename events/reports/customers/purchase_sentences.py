"""What a customer's page says about a purchase that gave nothing, or what no rule gives now."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from events.access import revocations
from events.execution import rule_history
from events.execution.rerun import payload_removed
from events.models import EventLog, RuleRun
from events.reports import batches, rules_now
from events.reports.customers import missing_rule
from events.reports.customers.left_behind_customer import LeftWithCustomer
from events.reports.owed.refunded_in_full import refunded_in_full
from events.reports.sentences.leads import EndAccess, Lead, MoveBuyer, RunRules, SeeChange
from events.reports.sentences.sentence import QUIET, WAIT, Code, Sentence, cause, of_order
from integrations.models import AuditEntry
from integrations.sentences import Said, format_day, joined, say
from integrations.who import shown_who
from rules import actions, pairing
from rules.history import rule_changes
from rules.listing import listed
from rules.models import Rule
from rules.triggers import TAKES_BACK


def ended_since(events: Iterable[EventLog]) -> set[int]:
    """Return the IDs of those events that gave access, which a person ended or undid since.

    These are events that `gave_nothing`. Takes no query if no action of any was done.
    """
    done = [event.pk for event in events if event.status == EventLog.Status.DONE]
    gave = RuleRun.objects.filter(
        event__in=done, status=RuleRun.Status.DONE, action__in=actions.giving_access()
    )
    return set(gave.values_list("event", flat=True)) if done else set()


def that_gave_nothing(
    events: Sequence[EventLog], back: Mapping[int, EventLog], had: Mapping[int, Said]
) -> list[Sentence]:
    """Return a sentence for each event.

    By event ID, `back` has the event that ended a purchase since, and `had` what gives it already.
    """
    now = rules_now.fitting(events)
    in_full = refunded_in_full([each for each in events if each.pk in back])
    done = batches.batch_acts([each.pk for each in events if each.pk not in back])
    ended = ended_since(events)
    return [
        _had_already(each, had[each.pk])
        if each.pk in had and each.pk not in back
        else _taken_back(each, back[each.pk], ended=each.pk in ended, is_settled=each.pk in in_full)
        if each.pk in back
        else _gave_nothing(each, now.get(each.pk, []), done, ended)
        for each in events
    ]


def _had_already(event: EventLog, has: Said) -> Sentence:
    """Say that the purchase gave nothing, and that another one gives what it would give."""
    text = joined([say("Paid for {product}{order}, which gave nothing.", **facts_of(event)), has])
    if payload_removed(event.delivery):
        return Sentence(QUIET, text, Code.HAD_ALREADY, event=event.pk)
    more = say(
        "If you enroll the customer for this purchase too, the access stays even if the other "
        "purchase is refunded."
    )
    return Sentence(QUIET, joined([text, more]), Code.HAD_ALREADY, leads=(RunRules(event.pk),))


def _gave_nothing(
    event: EventLog, now: list[Rule], done: batches.Done, ended: Collection[int]
) -> Sentence:
    """Say why it gave nothing: see `that_gave_nothing`; the rules in `now` fit it now."""
    facts = facts_of(event)
    rule = next(filter(pairing.is_to_give, now), None)
    if undone := batches.last_undo(event.pk, done):
        return _undone(event, undone, rule)
    if rule is not None:
        got_nothing = (
            say("Paid for {product}{order}; a person ended what it gave.", **facts)
            if event.pk in ended
            else say("Paid for {product}{order} and got nothing.", **facts)
        )
        text = joined([got_nothing, rules_now.since(event, rule), _only_global(now)])
        if removed := payload_removed(event.delivery):
            by_hand = say(
                "But {why}. Enroll the customer in Thinkific by hand, then mark this as dealt "
                "with.",
                why=removed,
            )
            return Sentence(WAIT, joined([text, by_hand]), Code.RULE_EXISTS, event=event.pk)
        return Sentence(WAIT, text, Code.RULE_EXISTS, leads=(RunRules(event.pk),))
    return missing_rule.sentence(event, facts)


def _taken_back(event: EventLog, back: EventLog, *, ended: bool, is_settled: bool) -> Sentence:
    """Say that nothing is given, and that the event `back` ended the purchase since.

    `is_settled` says that nothing is owed for it, so no person has to decide that.
    """
    facts = facts_of(event) | {"ending": revocations.sentence(back)}
    text = (
        say("Paid for {product}{order}; a person ended what it gave, and {ending}.", **facts)
        if ended
        else say("Paid for {product}{order} and got nothing; {ending}.", **facts)
    )
    asked = "" if is_settled else say("Mark it as dealt with if nothing is owed.")
    return Sentence(QUIET, joined([text, asked]), Code.GAVE_NOTHING, event=event.pk)


def _only_global(now: Iterable[Rule]) -> Said | str:
    """Say what global rules give, "" if a rule of the product gives something as well."""
    giving = [rule for rule in now if pairing.is_to_give(rule)]
    if any(rule.product_id for rule in giving):
        return ""
    names = dict.fromkeys(str(rule.destination) for rule in giving)
    return say("Only global rules match it: they give {courses}.", courses=listed([*names]))


def _undone(event: EventLog, undone: AuditEntry, rule: Rule | None) -> Sentence:
    text = say(
        "{person} undid on {day} what was given for {product}{order}.",
        person=shown_who(undone.who),
        day=format_day(undone.at),
        **facts_of(event),
    )
    if rule is None:
        return Sentence(QUIET, text, Code.GAVE_NOTHING, event=event.pk)
    text = joined([text, say("A rule still matches it.")])
    return Sentence(QUIET, text, Code.RULE_EXISTS, leads=(RunRules(event.pk),))


def gives_another(left: LeftWithCustomer) -> Sentence:
    """Say that the rule was changed or deleted since, which may be intended for earlier buyers.

    The change may also be the mistake, so it comes before moving the buyer.
    """
    run = left.run
    facts: dict[str, object] = {
        "old": run.destination_name,
        "order": of_order(run.event),
        "new": listed([str(rule.destination) for rule in left.instead]),
    }
    if not left.instead:
        text = _deleted(run, facts)
        end = EndAccess(run.customer_id or 0, f"{run.integration_id} {run.target}")
        return Sentence(QUIET, text, Code.RULE_CHANGED, leads=(end,))
    changed = [rule_changes.in_words(left.change)] if left.change else []
    see = [SeeChange(left.change.pk)] if left.change else []
    enrolls = say("Enrolling this buyer gives {new}, and {old} stays open.", **facts)
    query = f"rule={run.rule_id}" if run.rule_id else f"product={run.event.product_id or 0}"
    move = MoveBuyer(f"{query}&customer={run.customer_id}")
    # After an undo the action names no rule either, although the rule still exists.
    if run.rule is None and rule_history.is_deleted(run):
        text = say(
            "The rule that gave {old}{order} was deleted. The same purchase gives {new} now.",
            **facts,
        )
        leads: list[Lead] = [move, RunRules(run.event_id, is_second=True)]
        return Sentence(QUIET, joined([text, enrolls]), Code.RULE_CHANGED, leads=(*leads,))
    text = say("The rule that gave {old}{order} gives {new} now.", **facts)
    if left.still_given:
        text = joined([text, *changed, enrolls])
        leads = [*see, RunRules(run.event_id)]
    else:
        text = joined([text, *changed])
        leads = [*see, move]
    return Sentence(QUIET, text, Code.RULE_CHANGED, leads=(*leads,))


def _deleted(run: RuleRun, facts: Mapping[str, object]) -> Said:
    """Say that the rule of this action was deleted, and that no rule does the same now."""
    if run.event.trigger in TAKES_BACK:
        return say(
            "The rule that gave {old} after {cause} was deleted. It stays open until it is ended.",
            cause=cause(run.event),
            **facts,
        )
    return say(
        "The rule that gave {old}{order} was deleted, and no rule gives it for this purchase "
        "now. It stays open until it is ended.",
        **facts,
    )


def facts_of(event: EventLog) -> dict[str, object]:
    """Return the product and the order, for a sentence."""
    return {"product": event.product or _kept_name(event), "order": of_order(event)}


def _kept_name(event: EventLog) -> str:
    """Return the name of a product that was deleted since, as the event's grants have it."""
    named = event.runs.exclude(grant=None).exclude(grant__product_name="")
    return named.values_list("grant__product_name", flat=True).first() or say("something")
