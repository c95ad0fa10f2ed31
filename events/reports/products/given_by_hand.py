"""What people gave by hand for purchases of products: probably what their rules should give."""

from collections.abc import Collection

from events.access.hand_grants import GIVES
from events.models import EventLog, Grant, RuleRun
from integrations.models import Integration

# Of the newest acts by hand, this many are looked at.
MOST_ACTS = 100


def targets(products: Collection[int], integration: Integration) -> set[str]:
    """Return what was given for these products and is still open, as "course:501".

    `products` are IDs of rows. Looks at the newest MOST_ACTS acts, in two queries; none without
    products.
    """
    if not products:
        return set()
    acts = EventLog.objects.filter(delivery=None).order_by("-received_at", "-pk")
    given = [event.pk for event in acts.only("by_hand")[:MOST_ACTS] if event.by_hand in GIVES]
    runs = RuleRun.objects.filter(event__in=given, integration=integration)
    of_products = runs.filter(grant__product__in=products, grant__state=Grant.State.ACTIVE)
    return set(of_products.values_list("target", flat=True))
