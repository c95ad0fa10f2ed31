"""A quick filter for purchases for which nothing may be owed anymore."""

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Coalesce, Concat

from events.models import EventLog, Grant
from integrations.models import Destination
from rules.fired import runs_for
from rules.models import Rule
from rules.triggers import TAKES_BACK


def may_be_settled() -> QuerySet[EventLog]:
    """Return the events that were refunded since, or whose customer has what a rule gives now.

    This is a quick filter before `given_already.settled`, which compares the orders and looks at
    all rules, but has to load them and what the customers have. It returns a few events too many.
    """
    same = {"customer": OuterRef("customer")}
    later = EventLog.objects.filter(**same, received_at__gte=OuterRef("received_at"))
    # As in `revocations`: an event about one product ends nothing of another product.
    about = Q(product=Coalesce(OuterRef("product"), "product")) | Q(product=None)
    ended = Exists(later.filter(about).of_triggers(*TAKES_BACK))
    seen = Grant.objects.active().filter(seen_at__isnull=False)
    # What is in a bundle is not compared here.
    may_give = Q(_given_now()) | Q(target__startswith=f"{Destination.Kind.BUNDLE}:")
    return EventLog.objects.filter(ended | Exists(seen.filter(may_give, **same)))


def _given_now() -> Exists:
    """Return a condition: a rule would give, for the outer event, what the outer grant gives."""
    # Expressions, so that SQLite finds the product's rules first. An account or a site may have
    # thousands, and with plain columns SQLite would walk through all of them.
    rules = Rule.objects.alias(
        account=Coalesce("marketplace", 0),
        site=Coalesce("integration", 0),
        leads_to=Concat(
            "destination__kind",
            Value(":"),
            Cast("destination__external_id", CharField()),
        ),
    )
    product = OuterRef(OuterRef("product"))
    return Exists(
        rules.filter(
            Q(product=None) | Q(product=product),
            runs_for(OuterRef(OuterRef("trigger"))),
            enabled=True,
            account=OuterRef(OuterRef("marketplace")),
            site=OuterRef("integration"),
            leads_to=OuterRef("target"),
        )
    )
