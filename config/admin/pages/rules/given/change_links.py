"""Links to a change in Changes, where it can be undone: the change may have been the mistake."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from config.admin.menu import allowed
from config.admin.parts.badges import brief
from config.admin.parts.buttons import BACK, here
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, format_time, say
from integrations.who import shown_who
from rules import actions, changing
from rules.facts import Places
from rules.history import deleted_giving, giving_causes, rule_changes
from rules.models import Rule

# The permission to see Changes.
SEES = "integrations.view_auditentry"
# At most this many changes are linked for the rules of one product.
CHANGES_SHOWN = 2
# Deletions of rules are looked up for at most this many products.
MAX_PRODUCTS = 200


def to(request: HttpRequest, entry: int, who: str, at: datetime) -> Sequence[tuple[str, Said]]:
    """Return [(address, label)] of an entry of the audit; none for who may not see Changes."""
    if not allowed(request, SEES):
        return ()
    label = say(
        "See the change by {person} on {moment}",
        person=brief(shown_who(who)),
        moment=format_time(at),
    )
    page = reverse("admin:integrations_auditentry_change", args=[entry])
    return [(f"{page}?{urlencode({BACK: here(request)})}", label)]


@dataclass(frozen=True, slots=True)
class Cause:
    """The changes by which rules were left over: links to them, and the `entry` of the only one.

    The entry is None if there are several, if none is known, or if it was an undo.
    """

    links: Sequence[tuple[str, Said]] = ()
    entry: AuditEntry | None = None

    @property
    def text(self) -> Said | str:
        return rule_changes.in_words(self.entry) if self.entry else ""


NO_CAUSE = Cause()


def of_leftovers(request: HttpRequest, entries: Iterable[AuditEntry | None]) -> Cause:
    """Return these changes by which rules were left over, as `leftover_causes` found them.

    NO_CAUSE for a person who may not see Changes.
    """
    if not allowed(request, SEES):
        return NO_CAUSE
    steps = _steps(entries)
    only = steps[0] if len(steps) == 1 and not steps[0].undoes else None
    return Cause(_of(request, steps), only)


def of_turned_off(
    request: HttpRequest, groups: Sequence[Sequence[Rule]]
) -> list[list[tuple[str, Said]]]:
    """Return, for each group of rules that are off, links to the changes that turned them off.

    Takes one query, or none for a person who may not see Changes.
    """
    if not groups or not allowed(request, SEES):
        return [[] for _ in groups]
    entries = changing.last_switches(rule.pk for rules in groups for rule in rules)
    return [_of(request, (entries.get(rule.pk) for rule in rules)) for rules in groups]


def of_deleted(
    request: HttpRequest, products: Sequence[int], courses: Collection[str]
) -> list[tuple[str, Said]]:
    """Return links to the changes that deleted rules of these products that gave these courses.

    Takes up to two queries, or none for a person who may not see Changes.
    """
    if not products or not allowed(request, SEES):
        return []
    found = deleted_giving.of_products(products[:MAX_PRODUCTS])
    entries = [entry for deleted in found.values() for entry in deleted]
    return _of(request, (each for each in entries if rule_changes.course_before(each) in courses))


def last_change(number: int) -> AuditEntry | None:
    """Return the last change of what this rule gives and to whom, or its deletion."""
    entries = AuditEntry.objects.filter(
        Q(act=Act.RULE_DELETED)
        | Q(act=Act.RULE_CHANGED, before__has_any_keys=changing.DEFINING_FIELDS),
        kind=Rule._meta.model_name,
        number=str(number),
    )
    return entries.order_by("-pk").first()


def of_entries(
    request: HttpRequest, entries: Iterable[AuditEntry | None]
) -> list[tuple[str, Said]]:
    """Return links to these changes; none for a person who may not see Changes."""
    return _of(request, entries) if allowed(request, SEES) else []


def of_given(
    request: HttpRequest, given: Collection[tuple[int, int]], since: datetime
) -> dict[tuple[int, int], list[tuple[str, Said]]]:
    """Return links to what another person changed since then in the rules that give this.

    `given` are (product ID, destination ID), as are the keys. Takes two queries, or none without
    such pairs or for a person who may not see Changes.
    """
    if not given or not allowed(request, SEES):
        return {}
    rules = Rule.objects.filter(
        Q(product__in={product for product, _ in given}) | Q(product=None),
        destination__in={course for _, course in given},
        action__in=actions.giving_access(),
    )
    about = {str(pk): rest for pk, *rest in rules.values_list("pk", "product", "destination")}
    entries = AuditEntry.objects.filter(
        at__gte=since,
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number__in=[*about],
        before__has_any_keys=changing.DEFINING_FIELDS,
    ).exclude(who=request.user.get_username())
    found: dict[tuple[int, int], list[tuple[str, Said]]] = {}
    for entry in entries.order_by("-pk") if about else ():
        of_product, of_course = about[entry.number]
        for product, course in given:
            if of_product in {product, None} and of_course == course:
                found.setdefault((product, course), _of(request, [entry]))
    return found


def of_ungiven(
    request: HttpRequest,
    products: Iterable[Product],
    places: Places,
    recent: Iterable[AuditEntry],
    with_own: Collection[int],
) -> dict[int, list[tuple[str, Said]]]:
    """Return, by product ID, links to the change after which a rule gave nothing for it.

    `recent` changes and `with_own` are as in `giving_causes`. There are none for a person who may
    not see Changes.
    """
    if not allowed(request, SEES):
        return {}
    causes = giving_causes.of_products(products, places, recent, with_own)
    return {product: _of(request, [entry]) for product, entry in causes.items()}


def _of(request: HttpRequest, entries: Iterable[AuditEntry | None]) -> list[tuple[str, Said]]:
    """Return a link for each step of these entries, up to CHANGES_SHOWN."""
    shown = _steps(entries)[:CHANGES_SHOWN]
    return [link for each in shown for link in to(request, each.pk, each.who, each.at)]


def _steps(entries: Iterable[AuditEntry | None]) -> list[AuditEntry]:
    """Return one of these entries for each step."""
    return [*{entry.step or entry.pk: entry for entry in entries if entry}.values()]
