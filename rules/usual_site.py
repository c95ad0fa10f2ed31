"""The site that rules use most, which a new rule is likely to be for too."""

from django.db.models import Count, Max, QuerySet

from rules.models import Rule


def most_used(rules: QuerySet[Rule]) -> int | None:
    """Return the ID of the integration of most of these rules, None without a rule.

    Of several with equally many, it is the one with the newest rule. Takes one query.
    """
    counted = rules.order_by().values("integration").annotate(rules=Count("pk"), newest=Max("pk"))
    return counted.order_by("-rules", "-newest").values_list("integration", flat=True).first()
