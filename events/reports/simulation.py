"""What would happen: which rules would run for an event, which would not, and why. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q

from events.access import revocations, sentences
from events.access.decisions import Decisions, Settled
from events.access.event_student import BadStudentEmail
from events.access.sale import Sale
from events.deciding import passing_on
from events.execution import delayed
from events.execution.rerun import payload_removed
from events.models import EventLog, RuleRun
from events.models.runs import DELAYED
from integrations.calls import rate_limit
from integrations.models import (
    Customer,
    FieldMapping,
    Integration,
    Marketplace,
    Product,
    ThinkificUser,
)
from integrations.samcart.parser import normalize_email
from integrations.sentences import Said, joined, say
from rules import engine
from rules.actions import PlannedCall
from rules.fired import fired_by
from rules.models import Rule
from rules.triggers import Trigger

# At most this many of the rules that do not concern an event are named.
RULES_NAMED = 50


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A rule that would run, its calls in order, and notes about it."""

    rule: Rule
    calls: list[PlannedCall]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would happen. The rules in `nearly` and `others` would not run, each with the reason.

    Rules in `nearly` are turned off or for the same product. `others` has at most RULES_NAMED.
    """

    runs: list[PlannedRun]
    nearly: list[tuple[Rule, str]]
    others: list[tuple[Rule, str]]
    number_of_others: int
    notes: list[str]


def simulate(
    marketplace: Marketplace,
    trigger: Trigger,
    *,
    product: Product | None = None,
    email: str = "",
    event: EventLog | None = None,
) -> Simulation:
    """Decide as the inbox would for such an event now. `event` is a stored event to start from."""
    triggers = frozenset(fired_by(trigger))
    about = (product.kind, product.external_id) if product else None
    known = Rule.objects.filter(marketplace=marketplace).order_by("pk")
    known = known.select_related("product", "integration", "destination")
    # Rules of other products never run. There may be thousands, so only some of them are read.
    concern = Q(product=None) | Q(product=product)
    elsewhere = known.exclude(concern)
    rules = [*known.filter(concern), *elsewhere[:RULES_NAMED]]
    verdicts = engine.decide(engine.EventFacts(triggers, about), rules)
    if event is not None and event.by_hand:
        verdicts = passing_on.without_passing_on(verdicts)
    customer = Customer.objects.filter(email=normalize_email(email)).first() if email else None
    needs_email = any(each.runs and not each.rule.spec.passes_on for each in verdicts)
    notes = list(_notes(triggers, event, without_email=needs_email and not email))
    would = [_would(each.rule, customer, event) for each in verdicts if each.runs]
    nearly: list[tuple[Rule, str]] = []
    others: list[tuple[Rule, str]] = []
    for each in verdicts:
        if not each.runs:
            same = product is not None and each.rule.product_id == product.pk
            near = engine.nearly_ran(each.why, same_product=same)
            (nearly if near else others).append((each.rule, str(engine.REASONS[each.why])))
    number = len(others) + max(0, elsewhere.count() - RULES_NAMED)
    return Simulation(would, nearly, others[:RULES_NAMED], number, notes)


def _notes(
    triggers: frozenset[Trigger], event: EventLog | None, *, without_email: bool
) -> Iterator[str]:
    if len(triggers) > 1:
        yield say(
            "Rules for {trigger} run as well, as SamCart does it.",
            trigger=Trigger.SUBSCRIPTION_CANCELED.label,
        )
    if without_email:
        yield say(
            "Without an e-mail address nobody can be enrolled or removed: such an action would "
            "fail."
        )
    taken_back = revocations.later_endings([event]) if event else {}
    if event is not None and event.pk in taken_back:
        yield say(
            "Since then {ending}: running the rules again leaves this event out.",
            ending=revocations.sentence(taken_back[event.pk]),
        )
    kept = revocations.kept_since([event]) if event else {}
    if event is not None and event.pk in kept:
        yield say(
            "{why}: running the rules again leaves this event out.",
            why=sentences.let_keep(kept[event.pk]),
        )


def _would(rule: Rule, customer: Customer | None, event: EventLog | None) -> PlannedRun:
    spec, site = rule.spec, rule.integration
    notes: list[str] = []
    if rule.target and event is not None:
        customer, notes = _student(rule, event)
    elif rule.target and site.student_field:
        notes.append(
            say(
                'If an order fills the field "{field}", the rule is for the person with that '
                "address.",
                field=site.student_field,
            )
        )
    known = (
        customer is not None
        and customer.pk is not None
        and ThinkificUser.objects.filter(integration=site, customer=customer).exists()
    )
    fields = FieldMapping.objects.values_for(site, event.custom_fields) if event else {}
    if waits := _why_site_waits(site):
        notes.append(waits)
    if rule.destination and rule.is_gone and spec.gives_access:
        again = say(
            "Admit would ask Thinkific again, and the action would fail if that is still so."
        )
        notes.append(joined([rule.destination.missing, again]))
    if event is not None and customer is not None and customer.pk and rule.target:
        notes += _by_the_ledger(rule, event, customer)
    if spec.passes_on and event is not None and payload_removed(event.delivery):
        notes.append(say("What SamCart sent is not kept anymore, so nothing could be sent."))
    calls = spec.planned_calls(known=known, fills_fields=bool(fields), site=site.site)
    return PlannedRun(rule, calls, notes)


def _why_site_waits(site: Integration) -> Said | None:
    """Say why nothing would be sent to this site now; None if nothing keeps it."""
    if not site.enabled:
        return say("{site} is turned off: it would wait until it is turned on.", site=site)
    if site.denied:
        return say(
            "{site} denies access (its plan has no API access, or the key lacks a permission): "
            "it would wait until that is put right.",
            site=site,
        )
    if site.connection == Integration.Connection.REFUSED:
        return say(
            "The key of {site} is rejected: it would wait until the key works again or another one "
            "is entered.",
            site=site,
        )
    if rate_limit.blocked_for(site.pk)[1] > 0:
        return say("{site} is paused: it would wait until the pause is over.", site=site)
    return None


def _student(rule: Rule, event: EventLog) -> tuple[Customer | None, list[str]]:
    """Return whose access it would change, and notes if that is not the payer."""
    try:
        student = Decisions([Sale.of(event)], find=_found).student(event, rule.integration)
    except BadStudentEmail as error:
        return None, [joined([say("It would fail."), error.message])]
    if student is None or student == event.customer:
        return student, []
    email = student.readable_email
    return student, [say("It would be for {email}, not for the customer who paid.", email=email)]


def _found(email: str, entered: str) -> Customer:
    """Return the customer with this address; a new one is not saved."""
    known = Customer.objects.filter(email=email).first()
    return known or Customer(email=email, email_as_sent=entered)


def _by_the_ledger(rule: Rule, event: EventLog, student: Customer) -> list[str]:
    """Say why it would not be carried out now: the ledger forbids it, or its day is to come.

    Writes nothing.
    """
    run = RuleRun(event=event, rule=rule, received_at=event.received_at, **RuleRun.copy_of(rule))
    decisions = Decisions([Sale.of(event)])
    run.customer = student
    decisions.decide(event, run)
    if run.code == DELAYED:
        if run.is_put_off:
            return [joined([say("It would wait."), run.message])]
        if not delayed.skip_if_paid_again(run):
            decisions.decide(event, run, Settled.DUE)
    if run.status == RuleRun.Status.WAITING:
        return []
    is_held = run.status == RuleRun.Status.HELD
    would = say("It would wait for you.") if is_held else say("It would be skipped.")
    return [joined([would, run.message])]
