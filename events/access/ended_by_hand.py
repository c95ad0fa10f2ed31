"""What persons or rules ended, and how it is given back.

A person ends access by hand, by hand after a refund or cancellation, or by running a rule for an
earlier event. It can be given back as long as nothing was decided about it since:

    grants = can_be_given_back([ending])[ending.pk]  # `ending` is the action that ended it
    give_back(ending, grants, act)  # `act` is the event of the person who gives it back

After a refund or cancellation that is a decision to let the buyer keep it.
"""

from collections.abc import Collection, Iterable, Mapping

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from events.access import book, grant_runs, ledger, revocations, students
from events.access.ledger import Change
from events.models import EventLog, Grant, RuleRun
from rules.triggers import Trigger

# To move access or to give it back is no purchase, though the action gives the same again.
NO_PURCHASE = (EventLog.ByHand.MOVE_HERE, EventLog.ByHand.GIVE_BACK)


def can_be_given_back(endings: Collection[RuleRun]) -> dict[int, list[Grant]]:
    """Return {action ID: the grants that these actions ended and that are still so}.

    The actions are a person's, or those of rules. Those that ended nothing, or whose grants were
    decided on since or were refunded or canceled since, are left out. Grants that were moved to
    another account since do not count, so there may be none. Takes four queries.
    """
    whose = students.same_users((run.integration_id, run.customer_id) for run in endings)
    ended = list(_unchanged_since_ended(endings))
    since = revocations.of_grants(ended, lambda grant, event: event.received_at > grant.decided_at)
    found = {}
    for run in endings:
        by_run = [grant for grant in ended if grant.pk not in since and _is_ended_by(grant, run)]
        if by_run:
            same = whose[run.integration_id, run.customer_id]
            found[run.pk] = [grant for grant in by_run if grant.customer_id in same]
    return found


def _unchanged_since_ended(endings: Collection[RuleRun]) -> QuerySet[Grant]:
    """Return the grants about which nothing was decided since a person ended them.

    They are of the events of these actions, or those that the actions name.
    """
    about = Q(event__in={run.event_id for run in endings})
    about |= Q(pk__in={run.grant_id for run in endings} - {None})
    # A later ending that a rule carries out sets only the time at which it was decided. If a person
    # ended it, any later decision counts as another one; a refund followed by a cancellation counts
    # as one.
    by_a_person = Q(because=ledger.BY_HAND) | Q(because__startswith=ledger.BY_HAND_AFTER)
    by_a_rule = Q(because=F("event__trigger"), opened_at__isnull=False)
    return Grant.objects.filter(
        by_a_rule | (by_a_person & Q(decided_at=F("ended_at"))), about, state=Grant.State.ENDED
    )


def _is_ended_by(grant: Grant, run: RuleRun) -> bool:
    """Whether this action ended the grant. After a refund, the grant names the refund's event."""
    if grant.because.startswith(ledger.BY_HAND_AFTER):
        return grant.pk == run.grant_id
    of_event = grant.event_id == run.event_id
    return of_event and (grant.because == ledger.BY_HAND or grant.pk == run.grant_id)


def give_back(ending: RuleRun, grants: Iterable[Grant], act: EventLog) -> None:
    """Open these grants again, which a person ended with this action, by the person's `act`."""
    grants = list(grants)
    if ending.event.trigger and any(grant.event_id == ending.event_id for grant in grants):
        offer_again([ending])
    for grant in grants:
        reopen(grant, Change.by_hand(grant, act, act.received_at), act.author, act.author_note)


def reopen(grant: Grant, change: Change, who: str, why: str = "") -> None:
    """Open a grant again that a person ended, by this change, and save it.

    If its purchase was refunded or canceled meanwhile, `who` lets the buyer keep it, and `why` says
    why: it is again as the purchase gave it, and no earlier event ends it.
    """
    given = as_given([grant])
    endings = taken_back([grant], given).get(grant.pk)
    ledger.open_it(grant, given[grant.pk] if endings else change)
    if endings:
        grant.opened_at = grant.kept_at = timezone.now()
        grant.kept_by, grant.kept_note = Grant.as_noted(who, why)
        refunds = [each.pk for each in endings if each.trigger == Trigger.PRODUCT_REFUNDED]
        EventLog.objects.filter(pk__in=refunds).update(left_open=True)
    book.save(grant, opened=True)


def as_given(grants: Collection[Grant]) -> dict[int, Change]:
    """Return {grant ID: the change by which its purchase gave it}, if its action is still there."""
    giving = grant_runs.giving(grants).exclude(event__by_hand__in=NO_PURCHASE)
    events: dict[int | None, list[EventLog]] = {}
    for run in giving.select_related("event"):
        events.setdefault(run.grant_id, []).append(run.event)
    found = {}
    for grant in grants:
        if mine := events.get(grant.pk):
            event = next((each for each in mine if each.trigger), mine[0])
            facts = (grant.integration_id, grant.target, grant.parts)
            because = event.trigger or ledger.BY_HAND
            found[grant.pk] = Change(*facts, because, event.received_at, event)
    return found


def taken_back(
    grants: Collection[Grant], given: Mapping[int, Change] | None = None
) -> dict[int, list[EventLog]]:
    """Return {grant ID: the refunds and cancellations of its purchase since it was given}.

    To open such a grant again is to let the buyer keep it. `given` is what `as_given` returns for
    the grants, if it is known. Takes two queries, or one with `given`.
    """
    given = as_given(grants) if given is None else given
    known = [grant for grant in grants if grant.pk in given]
    return revocations.of_grants(known, lambda grant, event: event.received_at > given[grant.pk].at)


def offer_again(endings: Collection[RuleRun]) -> None:
    """Let the rules that ended this run once more, if a person asks for that."""
    RuleRun.objects.filter(pk__in=[run.pk for run in endings]).update(rule=None)
    events = EventLog.objects.filter(pk__in={run.event_id for run in endings})
    events.filter(trigger=Trigger.PRODUCT_REFUNDED).update(left_open=True)
    others = RuleRun.objects.filter(event=OuterRef("pk"), rule__isnull=False).exclude(target="")
    events.filter(~Exists(others)).update(gave_nothing=True, undone_at=Now())


def given_back(endings: Collection[int]) -> set[int]:
    """Return the IDs of those of these actions whose grant a person gave back since."""
    if not endings:
        return set()
    back = RuleRun.objects.filter(
        event__by_hand=EventLog.ByHand.GIVE_BACK,
        grant=OuterRef("grant"),
        pk__gt=OuterRef("pk"),  # an action of a refund has the time of the refund
    )
    found = RuleRun.objects.filter(Exists(back), pk__in=endings)
    return set(found.values_list("pk", flat=True))


def taken_by_hand(givings: Collection[int]) -> set[int]:
    """Return the IDs of those of these actions whose grant a person ended since.

    Access that ended on the last day that it was given with is left out.
    """
    if not givings:
        return set()
    by_person = [EventLog.ByHand.END, EventLog.ByHand.END_DAY]
    ended = RuleRun.objects.filter(
        pk__in=givings,
        grant__state=Grant.State.ENDED,
        grant__because=ledger.BY_HAND,
        grant__event__by_hand__in=by_person,
    )
    return set(ended.values_list("pk", flat=True))
