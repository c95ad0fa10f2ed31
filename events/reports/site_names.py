"""Names of courses and bundles that several Thinkific sites have: these need the site's name."""

from collections.abc import Collection

from django.db.models import Count

from integrations.models import Destination
from integrations.sentences import say


def on_several_sites(names: Collection[str]) -> set[str]:
    """Return those of these names that courses or bundles of several sites have.

    Takes one query, none without names.
    """
    if not names:
        return set()
    found = Destination.objects.filter(name__in=names).order_by().values("name")
    several = found.annotate(sites=Count("integration", distinct=True)).filter(sites__gt=1)
    return set(several.values_list("name", flat=True))


def with_site(shown: str, name: str, site: object, several: Collection[str]) -> str:
    """Return the text `shown` for what is called `name`, with its site if several have the name.

    `several` is what `on_several_sites` returns.
    """
    return say("{name} on {site}", name=shown, site=str(site)) if name in several else shown
