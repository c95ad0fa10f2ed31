"""Run the rules again: decide an event once more, with the rules as they are now."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from events.access import going_on, history, lock, revocations, sentences
from events.access.decisions import Decisions
from events.access.left_open import leaves_open
from events.access.sale import Sale
from events.deciding import entered_order, passing_on, rule_texts
from events.deciding.planning import plan_all
from events.deciding.reading import LineItem, Reading, RuleBook, read
from events.execution import kept_verdicts, retry_by_hand, retry_reasons
from events.models import Batch, Delivery, EventLog, RuleRun
from events.models.event_status import refresh_event
from events.models.runs import UNFINISHED
from events.queue import wake
from integrations import audit
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.sentences import Text, joined, say, say_count
from rules.engine import Reason
from rules.models import Rule
from rules.triggers import Trigger

Status = EventLog.Status
NOTHING_NEW = _("its rules have already run")
NO_RULE = _("no rule that is turned on matches it")
CANNOT: dict[str, Text] = {
    Status.REPEAT: _("it repeats an event that was decided already"),
    Status.UNKNOWN_TYPE: _("its type has not been named yet"),
    Status.UNREADABLE: _("it cannot be read"),
}


class NotRead(Exception):
    """What SamCart sent cannot be read now; `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Rerun:
    """How many actions were queued, and how many events were left out, by reason.

    `off` are rules that are off and would run if turned on, where no rule that is on fits.
    """

    queued: int
    left: dict[str, int]
    off: Sequence[Rule] = ()

    def sentence(self) -> str:
        """Say "2 actions queued, 1 event left out: order 1183 was refunded on 3 May." """
        actions = say_count(self.queued, "1 action queued", "{number} actions queued")
        others = [
            say_count(
                number,
                "1 event left out: {reason}",
                "{number} events left out: {reason}",
                reason=reason,
            )
            for reason, number in self.left.items()
        ]
        return joined([joined([actions, *others], by=", "), "."], by="")


def rerun(
    events: Iterable[EventLog],
    *,
    batch: Batch | None = None,
    only: Mapping[int, Collection[Rule]] | None = None,
) -> Rerun:
    """Decide these events again. Queue what fits now and has not run yet, and what failed.

    `only` maps the pk of each event to the rules to look at; then nothing else is queued or
    retried. The batch gets the IDs of what was queued, and is saved with each event.

    An action that waits for its next attempt makes it now. A rule that leads to another course by
    now counts as not run. What is done stays done, unless it was lost with a deleted account. An
    event that was refunded or canceled since is left out, and a refund or cancellation after which
    a person let the buyer keep the access.
    """
    events = list(events)
    reasons = obstacles(events)
    books: dict[int, RuleBook] = {}
    left: Counter[str] = Counter()
    off: dict[int, Rule] = {}
    queued = 0
    for event in events:
        reason, made = reasons.get(event.pk, ""), 0
        if not reason:
            try:
                made, turned_off = _run_again(event, books, batch, only)
                off |= turned_off
            except NotRead as error:
                reason = error.message
        queued += made
        if not made:
            left[reason or _why_nothing_made(event)] += 1
    if queued:
        with transaction.atomic():
            wake.wake()
    return Rerun(queued, dict(left), [*off.values()])


def _run_again(
    event: EventLog,
    books: dict[int, RuleBook],
    batch: Batch | None,
    only: Mapping[int, Collection[Rule]] | None,
) -> tuple[int, dict[int, Rule]]:
    """Return how many actions were queued; if none, also the rules that fit and are off, by pk.

    Raises NotRead.
    """
    if event.is_set_aside:
        return _read_again(event), {}
    line, book = line_of(event, books)
    chosen = only[event.pk] if only is not None else None
    made = _decide_again(event, line, book, batch, chosen)
    return made, {} if made else _to_turn_on(event, line)


def obstacles(events: Sequence[EventLog]) -> dict[int, str]:
    """Return, by event pk, why the rules cannot be run again. Other events are left out."""
    taken_back, kept = revocations.later_endings(events), revocations.kept_since(events)
    found = {}
    if history.unread():
        return {event.pk: say(history.WAIT) for event in events}
    for event in events:
        reason = why_never(event) or payload_removed(event.delivery)
        if not reason and event.pk in taken_back:
            reason = revocations.sentence(taken_back[event.pk])
        if not reason and event.pk in kept:
            reason = say("kept on purpose: {why}", why=sentences.let_keep(kept[event.pk]))
        if reason:
            found[event.pk] = reason
    return found


def to_retry(runs: Iterable[RuleRun], lost: Collection[int]) -> list[RuleRun]:
    """Return the given actions that should run again. `lost` holds the IDs that `lost()` found."""
    failed = RuleRun.Status.FAILED
    return [run for run in runs if run.status == failed or run.waits_to_retry or run.pk in lost]


def _why_nothing_made(event: EventLog) -> str:
    runs = list(event.runs.select_related("integration"))
    return why_nothing(runs, retry_reasons.reasons(runs))


def _to_turn_on(event: EventLog, line: LineItem) -> dict[int, Rule]:
    """Return matching rules that are off, by pk. An event that has actions already has none."""
    off = {each.rule.pk: each.rule for each in line.verdicts if each.why is Reason.OFF}
    return off if off and not event.runs.exists() else {}


def why_nothing(runs: Sequence[RuleRun], cannot: Mapping[int, str]) -> str:
    """Say why running the rules again does nothing for an event with these actions.

    `cannot` says why failed ones are not retried, by pk.
    """
    if any(run.status == RuleRun.Status.HELD for run in runs):
        return say("its action waits for you: release it if it is right")
    goes_on = [run for run in runs if run.status in UNFINISHED and not run.is_pending]
    if goes_on:
        return say("its action {goes_on}", goes_on=going_on.goes_on(goes_on[0]))
    if not runs:
        return say(NO_RULE)
    reasons = (cannot[run.pk] for run in runs if run.status == RuleRun.Status.FAILED)
    return next(filter(None, reasons), say(NOTHING_NEW))


def why_never(event: EventLog) -> str:
    """Say why no rule decides on such an event; "" if rules do."""
    if event.by_hand and not event.trigger:
        return say("a person did this by hand, not a rule")
    return str(CANNOT.get(event.status, ""))


def payload_removed(delivery: Delivery | None) -> str:
    """Say "what SamCart sent was removed after 180 days"; "" if it is there, or never was."""
    if delivery is None or delivery.body_removed_at is None:
        return ""
    return say_count(
        (delivery.body_removed_at - delivery.received_at).days,
        "what SamCart sent was removed after 1 day",
        "what SamCart sent was removed after {number} days",
    )


def _read_again(event: EventLog) -> int:
    """Have the inbox read again what our own code failed on. Return 1 if it will, else 0."""
    with transaction.atomic():
        same = Delivery.objects.filter(pk=event.delivery_id or 0, state=Delivery.State.READ)
        found = same.update(state=Delivery.State.NEW)
        if found:
            audit.record(Act.EVENT_RERUN, event)
    return found


def _decide_again(
    event: EventLog,
    line: LineItem,
    book: RuleBook,
    batch: Batch | None,
    only: Collection[Rule] | None,
) -> int:
    queued = 0
    if only is None:
        runs = RuleRun.objects.filter(event=event)
        lost = set(runs.lost().values_list("pk", flat=True))
        queued, _ = retry_by_hand.retry(to_retry(runs, lost), as_now=True, batch=batch)
    with transaction.atomic():
        lock.lock()
        # Whoever else runs the rules for this event, or for another line of the delivery, waits
        # here and then finds our runs.
        Delivery.objects.select_for_update().filter(events=event).first()
        event = EventLog.objects.select_for_update(of=("self",)).get(pk=event.pk)
        made = add(event, line, book, only)
        refresh_event(event.pk)
        if queued or made:
            if batch is not None:
                batch.add_new(made)
                batch.save()
            audit.record(Act.EVENT_RERUN, event, after={BATCH: batch.pk} if batch else None)
    return queued + len(made)


def line_of(event: EventLog, books: dict[int, RuleBook]) -> tuple[LineItem, RuleBook]:
    """Return the event's line with the rules as they are now. Raises NotRead."""
    if event.by_hand:
        assert event.marketplace is not None
        if event.marketplace.pk not in books:
            books[event.marketplace.pk] = RuleBook(event.marketplace)
        book = books[event.marketplace.pk]
        return entered_order.line_of(event, book), book
    reading = read(Delivery.objects.get(events=event), books)
    if reading.book is None or event.line >= len(reading.lines):
        raise NotRead(_why_not_read(reading))
    return reading.lines[event.line], reading.book


def _why_not_read(reading: Reading) -> str:
    if reading.is_sealed:
        return say("what SamCart sent cannot be opened with FIELD_ENCRYPTION_KEYS")
    if reading.fault is not None:
        kind = type(reading.fault).__name__
        return say("Admit itself failed on it ({kind}): call your technician", kind=kind)
    return str(CANNOT[Status.UNREADABLE])


def add(
    event: EventLog, line: LineItem, book: RuleBook, only: Collection[Rule] | None = None
) -> list[RuleRun]:
    """Queue the rules that fit and have not run as they are now; with `only`, just those of them.

    If any is queued, the verdict of each rule that was looked at is recorded. Call it inside a
    transaction, under the deciding lock.
    """
    verdicts = passing_on.passing_on_once(
        line.verdicts, passing_on.rules_that_passed_on(event.delivery_id)
    )
    ran = {run.form for run in event.runs.all()}
    fitting = [
        each.rule
        for each in verdicts
        if each.runs
        and RuleRun.form_of(each.rule) not in ran
        and (only is None or each.rule in only)
    ]
    decisions = Decisions([Sale.of(event)])
    new = plan_all(event, fitting, line, decisions)
    if not new:
        return []
    decisions.write()
    RuleRun.objects.bulk_create(new)
    texts = (event.rule_texts.sentences if event.rule_texts else {}) | book.sentences
    event.verdicts = kept_verdicts.with_new(event, verdicts, only)
    event.rule_texts = rule_texts.stored(texts)
    event.reason = event.reason if event.email_given_at else ""  # keep who gave which address
    event.gave_nothing = event.gave_nothing and all(run.spec.passes_on for run in new)
    is_refund = event.trigger == Trigger.PRODUCT_REFUNDED
    if is_refund and leaves_open(event, new, decisions.grants_of(event)):
        event.left_open = True  # a rule gave it again
    changed = ["verdicts", "rule_texts", "reason", "gave_nothing", "left_open", "email_as_sent"]
    event.save(update_fields=changed)
    event.add_search_terms()
    return new
