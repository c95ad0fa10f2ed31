"""Erase a person's own rows, and count them."""

from dataclasses import dataclass, field

from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from events.deciding import anonymous
from events.models import ComparisonFinding, EventLog, EventTerm, Grant, RuleRun, event_status
from events.models.runs import UNFINISHED
from events.reports.personal_data.person import Person
from integrations.models import ApiCall, Customer, ThinkificUser
from integrations.sentences import say, say_count
from rules.listing import listed

Status = RuleRun.Status
# The sentence for an event or action whose person was erased, and the code of such an action.
NOTE = _("The data of the person was erased.")
CODE = "erased"


@dataclass
class Erased:
    """How many rows were erased; `left` are sentences about what could not be."""

    events: int = 0
    actions: int = 0
    payloads: int = 0
    exchanges: int = 0
    grants: int = 0
    customers: int = 0
    mentions: int = 0
    files: int = 0
    left: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return sentences about what was erased, for the person who did it."""
        erased = [
            say_count(self.customers, "1 customer", "{number} customers"),
            say_count(self.events, "1 event", "{number} events"),
            say_count(self.actions, "1 action", "{number} actions"),
            say_count(self.payloads, "1 payload", "{number} payloads"),
            say_count(self.exchanges, "1 exchange", "{number} exchanges"),
            say_count(self.grants, "1 grant", "{number} grants"),
        ]
        return [
            say("Erased: {what}.", what=listed(erased)),
            say(
                "Taken out of {rows} and {files}.",
                rows=say_count(self.mentions, "1 other row", "{number} other rows"),
                files=say_count(self.files, "1 file of the spool", "{number} files of the spool"),
            ),
        ]


def erase_rows(whom: Person, done: Erased) -> None:
    """Erase the person's own rows, in the caller's transaction."""
    events = list(whom.events().values_list("pk", flat=True))
    others = RuleRun.objects.filter(event__in=events, customer__isnull=False)
    others = others.exclude(customer__in=whom.customers)
    shared = set(others.values_list("event", flat=True)) | _others_hold(whom, events)
    own_runs = list(whom.runs().values_list("pk", flat=True))
    changed = set(RuleRun.objects.filter(pk__in=own_runs).values_list("event", flat=True))
    done.exchanges = ApiCall.objects.filter(run_id__in=own_runs).delete()[0]
    done.actions = _erase_runs(own_runs)
    done.payloads = _erase_payloads(whom)
    done.events = _erase_events(whom, events, shared)
    EventTerm.objects.filter(event__in=events).delete()
    event_status.show(changed)
    undone = EventLog.objects.filter(pk__in=events, status__in=["waiting", "failed", "held"])
    undone.exclude(pk__in=changed).update(status=EventLog.Status.SKIPPED)
    done.grants = whom.grants().count()
    _erase_findings(whom)
    done.customers = len(whom.customers)
    Customer.objects.filter(pk__in=[each.pk for each in whom.customers]).delete()


def _erase_findings(whom: Person) -> None:
    """Delete the person's findings without a customer, by address or Thinkific user ID."""
    own = Q(pk__in=[])
    for address in whom.addresses:
        own |= Q(email__iexact=address)
    users = ThinkificUser.objects.filter(customer__in=whom.customers)
    for site, user in users.values_list("integration", "user_id"):
        own |= Q(comparison__integration=site, user_id=user)
    ComparisonFinding.objects.filter(own, customer=None).delete()


def _others_hold(whom: Person, events: list[int]) -> set[int]:
    """Return those of the events that decided a grant of somebody else."""
    grants = Grant.objects.filter(event__in=events).exclude(customer__in=whom.customers)
    return {pk for pk in grants.values_list("event", flat=True) if pk}


def _erase_runs(pks: list[int]) -> int:
    runs = RuleRun.objects.filter(pk__in=pks)
    open_runs = runs.filter(Q(status__in=UNFINISHED) | Q(status__in=[Status.FAILED, Status.HELD]))
    open_runs.update(
        status=Status.SKIPPED,
        code=CODE,
        next_attempt_at=None,
        finished_at=Coalesce("finished_at", Now()),
    )
    return runs.update(customer=None, message=say(NOTE), message_id=None)


def _erase_payloads(whom: Person) -> int:
    """Remove what SamCart sent. Return how many payloads there were.

    Another person's access stays, in the event and its actions.
    """
    number = 0
    for delivery in whom.deliveries():
        number += delivery.body_removed_at is None
        anonymous.remove_payload(delivery)
    return number


def _erase_events(whom: Person, events: list[int], shared: set[int]) -> int:
    whose = {
        "customer": None,
        "samcart_customer_id": "",
        "email_as_sent": "",
        "name_as_sent": "",
        "gave_nothing": False,
        "left_open": False,
        "dealt_with_at": Coalesce("dealt_with_at", Now()),
    }
    alone = EventLog.objects.filter(pk__in=set(events) - shared)
    alone.update(
        **whose,
        order_id="",
        subscription_id="",
        transaction_id="",
        custom_fields=[],
        reason=say(NOTE),
        author_note="",
    )
    for event in EventLog.objects.filter(pk__in=shared):
        # An address of another person says whose access the event is about.
        fields = [each for each in event.custom_fields if "@" in str(each.get("value", ""))]
        EventLog.objects.filter(pk=event.pk).update(
            **whose,
            custom_fields=whom.redactor.data(fields),
            reason=whom.redactor.data(event.reason),
            author_note=whom.redactor.data(event.author_note),
        )
    return len(events)
