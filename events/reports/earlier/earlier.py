"""Events from before a rule: those that gave nothing, and those for which it has not run."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import (
    CharField,
    Exists,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Cast, Coalesce

from events.models import EventLog, Grant, RuleRun
from events.models.event_log import ACCOUNT, WHAT
from events.models.runs import RuleRunQuerySet
from events.reports.access import open_access
from integrations.models import AuditEntry, Product
from rules.fired import firing, runs_for
from rules.models import Rule
from rules.triggers import CANCELS, TAKES_BACK, Trigger

# Runs whose access a person took back. They do not count, because it may be given again.
TAKEN_BACK = Q(rule=None, grant__state=Grant.State.WAIVED)
# For more rules than this at once, only events that gave nothing are looked for. With a hundred
# rules, looking for the others took a quarter of a page's time (measured).
MAX_RULES = 20


@dataclass(frozen=True, slots=True)
class Missing:
    """The rules that have not run for an event: `undone` if a person took back what they give."""

    fresh: list[Rule] = field(default_factory=list)
    undone: list[Rule] = field(default_factory=list)


def events(rules: Collection[Rule], product: Product | None, most: int) -> list[EventLog]:
    """Return events from before these rules, at most `most`.

    Those that gave nothing come first, except those that a person undid, which come last.
    """
    nothing = gave_nothing(rules, product)
    found: list[int] = []
    for rows in (
        nothing.filter(undone_at=None),
        not_run(rules, product),
        nothing.filter(undone_at__isnull=False),
    ):
        if len(found) < most:
            found += rows.values_list("pk", flat=True)[: most - len(found)]
    # The bodies may be large, and are not needed here.
    known = EventLog.objects.select_related("customer", "product", "delivery")
    known = known.defer("delivery__sealed_body", "delivery__query")
    loaded = known.in_bulk(found) if found else {}
    return [loaded[pk] for pk in found if pk in loaded]


def gave_nothing(rules: Iterable[Rule], product: Product | None = None) -> QuerySet[EventLog]:
    """Return events of the rules' triggers and products that gave nothing, newest first.

    Events that a person has dealt with are left out. `product` narrows global rules.
    """
    return _of(rules, product).filter(gave_nothing=True, dealt_with_at=None)


def not_run(rules: Iterable[Rule], product: Product | None = None) -> QuerySet[EventLog]:
    """Return events that gave something, and for which one of these rules has not run.

    A rule gave it, or a person by hand, for a purchase that gave nothing.

    An event is left out if another rule, perhaps one deleted since, did the same, unless a person
    took that back. Only rules that are on count, and of those that end access only those for
    refunds and cancellations whose purchase has access open; if they are more than MAX_RULES,
    nothing is found. The order is as in `gave_nothing`. What a person has dealt with without giving
    anything is left out.
    """
    offered = [rule for rule in rules if is_offered(rule)]
    if not offered or len(offered) > MAX_RULES:
        return EventLog.objects.none()
    # Later events were decided by the rules as they are now, so every rule that fits has run.
    given_by_hand = Q(dealt_with_at__isnull=False) & open_access.of_purchase()
    events = _of(offered, product).filter(
        Q(gave_nothing=False) | given_by_hand,
        customer__isnull=False,
        received_at__lt=_last_changed(offered),
    )
    events = events.exclude(status=EventLog.Status.REPEAT)
    left = Q(pk__in=())
    for gives in {rule.spec.gives_access for rule in offered}:
        fitting = _fitting([rule for rule in offered if rule.spec.gives_access == gives])
        lacks = Q(Exists(fitting.filter(~Exists(_ran(gives=gives)))))
        left |= lacks if gives else Q(lacks, _leaves_open())
    return events.filter(left)


def rules_with_lacking_buyers(rules: Iterable[Rule], most: int) -> list[Rule]:
    """Return those of these rules of products that have not run for some purchase before them.

    At most `most`. The purchase gave something; whether its buyer is owed anything is not looked
    at. Takes one query, which reads nothing for a rule that is older than the sales.
    """
    asked = [rule for rule in rules if rule.gives_on_purchase and rule.enabled and rule.product_id]
    changes = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number=Cast(OuterRef("pk"), CharField())
    )
    last = changes.order_by().values("number").annotate(last=Max("at")).values("last")
    changed = Rule.objects.alias(changed=Coalesce(Subquery(last), "created_at"))
    ran = RuleRun.objects.filter(
        Q(rule=OuterRef(OuterRef("pk")))
        | Q(
            integration=OuterRef(OuterRef("integration")),
            action=OuterRef(OuterRef("action")),
            destination_id=OuterRef(OuterRef("destination__external_id")),
        ),
        event=OuterRef("pk"),
    )
    bought = EventLog.objects.filter(
        ~Exists(ran),
        product=OuterRef("product"),
        trigger=Trigger.PRODUCT_PURCHASED,
        received_at__lt=OuterRef("changed"),
        gave_nothing=False,
        customer__isnull=False,
    ).exclude(status=EventLog.Status.REPEAT)
    found = changed.filter(Exists(bought), pk__in=[rule.pk for rule in asked])
    numbers = set(found.values_list("pk", flat=True)[:most]) if asked else set()
    return [rule for rule in asked if rule.pk in numbers]


def is_offered(rule: Rule) -> bool:
    """Whether the rule is run for earlier events for which another rule did something."""
    ends = rule.spec.ends_access and rule.trigger in TAKES_BACK
    return rule.enabled and (rule.spec.gives_access or ends)


def missing(fitting: Mapping[EventLog, Sequence[Rule]]) -> dict[int, Missing]:
    """Return, by event ID, which of its fitting rules have not run, in the sense of `not_run`."""
    ran: dict[int, list[RuleRun]] = defaultdict(list)
    runs = RuleRun.objects.filter(event__in=fitting).exclude(target="")
    for run in runs.select_related("grant") if fitting else ():
        ran[run.event_id].append(run)
    found = {}
    for event, rules in fitting.items():
        found[event.pk] = each = Missing()
        for rule in rules:
            place = (rule.integration_id, rule.target)
            same = [
                run
                for run in ran[event.pk]
                if (run.rule_id == rule.pk and rule.spec.gives_access)
                or ((run.integration_id, run.target) == place and run.action == rule.action)
            ]
            if not same:
                each.fresh.append(rule)
            elif all(_is_taken_back(run) for run in same):
                each.undone.append(rule)
    return found


def _of(rules: Iterable[Rule], product: Product | None) -> QuerySet[EventLog]:
    asked: dict[tuple[int, str], set[int | None]] = defaultdict(set)
    for rule in rules:
        number = rule.product_id or (product.pk if product else None)
        for each in firing(rule.trigger):
            asked[rule.marketplace_id, each].add(number)
    # Together for all triggers of the same products, whose events are then read once.
    alike: dict[tuple[int, frozenset[int | None]], list[str]] = defaultdict(list)
    for (account, trigger), products in asked.items():
        alike[account, frozenset(products)].append(trigger)
    wanted = Q(pk__in=())
    for (account, numbers), triggers in alike.items():
        if None in numbers:
            wanted |= Q(account=account, trigger__in=triggers)
        else:
            wanted |= Q(account=account, what__in=triggers, product__in=numbers)
    events = EventLog.objects.alias(account=ACCOUNT, what=WHAT)
    return events.filter(wanted).order_by("-received_at", "-pk")


def _last_changed(rules: Collection[Rule]) -> datetime:
    """Return when one of the rules was last made, changed or turned on."""
    entries = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=[str(rule.pk) for rule in rules]
    )
    last: datetime | None = entries.aggregate(last=Max("at"))["last"]
    made = max(rule.created_at for rule in rules)
    return max(last, made) if last else made


def _fitting(rules: Collection[Rule]) -> QuerySet[Rule]:
    """Return which of the rules fit the event of the outer query."""
    # Expressions, because with the column SQLite would look up each rule for each event.
    number = Coalesce("pk", 0, output_field=IntegerField())
    account = Coalesce("marketplace", 0, output_field=IntegerField())
    among = Rule.objects.alias(of_these=number, account=account)
    return among.filter(
        Q(product=None) | Q(product=OuterRef("product")),
        runs_for(OuterRef("trigger")),
        of_these__in=[rule.pk for rule in rules],
        account=OuterRef("marketplace"),
    )


def _ran(*, gives: bool) -> RuleRunQuerySet:
    """Return the outer event's runs of the outer rule, or of another with its action and course.

    Runs whose access a person took back are left out. What a rule gave before it led to another
    course counts, as its buyers are moved; what it ended does not.
    """
    same = Q(
        integration=OuterRef("integration"),
        action=OuterRef("action"),
        destination_id=OuterRef("destination__external_id"),
    )
    if gives:
        same |= Q(rule=OuterRef("pk"))
    return RuleRun.objects.filter(same, event=OuterRef(OuterRef("pk"))).exclude(TAKEN_BACK)


def _leaves_open() -> Q:
    """Return a condition on events of `_of` that end access: what the purchase gave may be open.

    A refund says so itself. Cancellations are not marked, as most of them leave it open for a time.
    """
    canceled = Q(what__in=CANCELS)
    return Q(left_open=True) | canceled & open_access.of_purchase()


def _is_taken_back(run: RuleRun) -> bool:
    waived = run.grant is not None and run.grant.state == Grant.State.WAIVED
    return run.rule_id is None and waived
