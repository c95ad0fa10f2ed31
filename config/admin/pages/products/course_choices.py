"""The courses and bundles to choose from on Coverage, and which of them a product may be about."""

from collections import Counter
from functools import cache, cached_property
from typing import NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from config.admin.pages.products import trigger_cells
from config.admin.parts import badges
from integrations.finding.ordering import by_name
from integrations.models import Destination, Product
from integrations.sentences import say
from rules.models import Rule
from rules.similar_names import SimilarNames
from rules.usual_site import most_used

ON_SITE = _("{name} on {site}")


class Offered(NamedTuple):
    """What names a course or bundle. A tuple, because there may be thousands."""

    pk: int
    name: str
    kind: str
    external_id: int
    integration_id: int
    site: str


class Choices:
    """The courses and bundles to choose from, each under a unique name."""

    def __init__(self) -> None:
        rows = Destination.objects.filter(gone_at=None).order_by(by_name(), "pk")
        names = (*Offered._fields[:-1], "integration__name")
        self._by_name = _named_apart([Offered._make(row) for row in rows.values_list(*names)])
        self._sites = {each.integration_id for each in self._by_name.values()}
        self._usual_site = cache(self._most_used)  # a page has few accounts
        self.badge = cache(trigger_cells.badge)  # most rows of a page show the same

    def options(self) -> SafeString:
        """Return the options of a field. Not in a template, because there may be thousands."""
        # Escaped together, which takes a tenth of the time. No name has a line break.
        options = escape("\n".join(self._by_name)).replace("\n", '"></option><option value="')
        options = f'<option value="{options}"></option>' if options else ""
        return mark_safe(options)  # noqa: S308 - escaped

    @cached_property
    def similar(self) -> SimilarNames:
        return SimilarNames({name: each.name for name, each in self._by_name.items()})

    @cached_property
    def _exact(self) -> dict[str, Offered]:
        return {_folded(name): each for name, each in self._by_name.items()}

    @cached_property
    def _plain(self) -> dict[str, list[Offered]]:
        found: dict[str, list[Offered]] = {}
        for each in self._by_name.values():
            found.setdefault(_folded(each.name), []).append(each)
        return found

    def _with(self, part: str) -> list[Offered]:
        found = [each for name, those in self._plain.items() if part in name for each in those]
        return found if len(found) == 1 else []

    @property
    def has_several_sites(self) -> bool:
        """Whether a course is known only by its name and its school."""
        return len(self._sites) > 1

    def like(self, product: Product) -> list[str]:
        """Return the names like that of a product, from the school of its account if there are any.

        The school is that of most rules of the account.
        """
        found = self.similar.most_like(product.name)
        sites = {self._by_name[name].integration_id for name in found}
        if len(sites) < 2:
            return found
        usual = self._usual_site(product.marketplace_id)
        return [name for name in found if self._by_name[name].integration_id == usual] or found

    def _most_used(self, account: int) -> int | None:
        return most_used(Rule.objects.filter(marketplace=account, integration__in=self._sites))

    def named(self, name: str) -> list[Destination]:
        """Return what a typed name can mean: a full match, else the only name that contains it."""
        typed = _folded(name)
        exact = self._exact.get(typed)
        meant = [exact] if exact else self._plain.get(typed) or self._with(typed)
        rows = Destination.objects.filter(pk__in=[each.pk for each in meant])
        return list(rows.select_related("integration").order_by(by_name(), "pk")) if meant else []


def _named_apart(found: list[Offered]) -> dict[str, Offered]:
    """Return each by its name, with as much more as it takes to tell it from the others."""
    on_site = str(ON_SITE)  # translated once for all of them
    several_sites = len({each.integration_id for each in found}) > 1
    named = []
    for each in found:
        name = " ".join(badges.legible(each.name).split())
        if each.kind == Destination.Kind.BUNDLE:
            name = say("{name} (bundle)", name=name)
        if several_sites:
            name = on_site.format(name=name, site=" ".join(each.site.split()))
        named.append((name, _folded(name), each))
    count = Counter(folded for _, folded, _ in named)
    return {
        name
        if count[folded] == 1
        else say("{name}, number {id}", name=name, id=str(each.external_id)): each
        for name, folded, each in named
    }


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
