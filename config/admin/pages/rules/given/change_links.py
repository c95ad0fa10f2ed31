"""Links to a change in Changes, where it can be undone: the change may have been the mistake."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from config.admin.menu import allowed
from config.admin.parts.badges import brief, legible
from config.admin.parts.buttons import BACK, here
from integrations.audit import Act
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, format_time, say, say_count
from integrations.who import shown_who
from rules import actions, changing
from rules.facts import Places
from rules.history import deleted_giving, giving_causes, rule_changes
from rules.listing import listed
from rules.models import Rule
from rules.short_sentences import in_short, when_in_short

# The address and the label of a link.
Link = tuple[str, str]
# The permission to see Changes.
SEES = "integrations.view_auditentry"
# At most this many changes are linked for the rules of one product.
CHANGES_SHOWN = 2
# How many rules of one step are named, and how long that may be.
ABOUT_NAMED, ABOUT_SHOWN = 2, 300
PEOPLE_NAMED = 2
# Deletions of rules are looked up for at most this many products.
MAX_PRODUCTS = 200


def to(request: HttpRequest, entry: int, who: str, at: datetime, about: str) -> Sequence[Link]:
    """Return a link to this entry of the audit; none for a person who may not see Changes.

    `about` is the rule that was changed. Only those who hear the label alone are told, because the
    link stands beside a sentence about the rule.
    """
    if not allowed(request, SEES):
        return ()
    label = format_html(
        '{}<span class="visually-hidden">: {}</span>', _label(who, at), legible(about, ABOUT_SHOWN)
    )
    return [(_page(request, entry), label)]


def _page(request: HttpRequest, entry: int) -> str:
    page = reverse("admin:integrations_auditentry_change", args=[entry])
    return f"{page}?{urlencode({BACK: here(request)})}"


def _label(who: str, at: datetime) -> Said:
    return say(
        "See the change by {person} on {moment}",
        person=brief(shown_who(who)),
        moment=format_time(at),
    )


@dataclass(frozen=True, slots=True)
class Cause:
    """The changes by which rules were left over: their `number`, links, and who made them.

    `entry` is the only one, None if there are several, if none is known, or if it was an undo.
    """

    links: Sequence[Link] = ()
    entry: AuditEntry | None = None
    number: int = 0
    people: Sequence[str] = ()

    @property
    def text(self) -> Said | str:
        """Say what the only change was, or how many there were and by whom."""
        if self.number > 1:
            return say_count(
                self.number,
                "This comes from 1 change by {people}.",
                "This comes from {number} changes by {people}.",
                people=listed(self.people, PEOPLE_NAMED),
            )
        return rule_changes.in_words(self.entry) if self.entry else ""


NO_CAUSE = Cause()


def of_leftovers(request: HttpRequest, entries: Iterable[AuditEntry | None]) -> Cause:
    """Return these changes by which rules were left over, as `leftover_causes` found them.

    NO_CAUSE for a person who may not see Changes.
    """
    if not allowed(request, SEES):
        return NO_CAUSE
    entries = [*filter(None, entries)]
    steps = _steps(entries)
    only = steps[0][-1] if len(steps) == 1 and not steps[0][-1].undoes else None
    people = dict.fromkeys(brief(shown_who(step[-1].who)) for step in steps)
    return Cause(_of(request, entries), only, len(steps), [*people])


def of_turned_off(request: HttpRequest, groups: Sequence[Sequence[Rule]]) -> list[list[Link]]:
    """Return, for each group of rules that are off, links to the changes that turned them off.

    Takes one query, or none for a person who may not see Changes.
    """
    if not groups or not allowed(request, SEES):
        return [[] for _ in groups]
    entries = changing.last_switches(rule.pk for rules in groups for rule in rules)
    return [_of(request, (entries.get(rule.pk) for rule in rules)) for rules in groups]


def of_deleted(
    request: HttpRequest, products: Sequence[int], courses: Collection[str]
) -> list[Link]:
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


def of_entries(request: HttpRequest, entries: Iterable[AuditEntry | None]) -> list[Link]:
    """Return links to these changes; none for a person who may not see Changes."""
    return _of(request, entries) if allowed(request, SEES) else []


def of_given(
    request: HttpRequest, given: Collection[tuple[int, int]], since: datetime
) -> dict[tuple[int, int], list[Link]]:
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
    found: dict[tuple[int, int], list[Link]] = {}
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
) -> dict[int, list[Link]]:
    """Return, by product ID, links to the change after which a rule gave nothing for it.

    `recent` changes and `with_own` are as in `giving_causes`. There are none for a person who may
    not see Changes.
    """
    if not allowed(request, SEES):
        return {}
    causes = giving_causes.of_products(products, places, recent, with_own)
    return {product: _of(request, [entry]) for product, entry in causes.items()}


def _of(request: HttpRequest, entries: Iterable[AuditEntry | None]) -> list[Link]:
    """Return a link for each step of these entries, up to CHANGES_SHOWN.

    If there are several, each says what it is about. The person may see Changes.
    """
    steps = _steps(entries)[:CHANGES_SHOWN]
    if len(steps) == 1:
        only = steps[0][-1]
        return [*to(request, only.pk, only.who, only.at, _about(steps[0], in_short))]
    about = [_about(step, when_in_short) for step in steps]
    if len({*about}) < len(steps):
        about = [_about(step, in_short) for step in steps]
    return [
        (
            _page(request, last.pk),
            say("{label}: {about}", label=_label(last.who, last.at), about=text),
        )
        for (*_, last), text in zip(steps, about, strict=True)
    ]


def _about(step: Iterable[AuditEntry], form: Callable[[str], str]) -> str:
    """Return what this step changed, in this form of the names."""
    names = dict.fromkeys(form(entry.name) for entry in step)
    return legible(listed([*names], ABOUT_NAMED), ABOUT_SHOWN)


def _steps(entries: Iterable[AuditEntry | None]) -> list[list[AuditEntry]]:
    """Return these entries by their step."""
    found: dict[int, list[AuditEntry]] = {}
    for entry in filter(None, entries):
        found.setdefault(entry.step or entry.pk, []).append(entry)
    return [*found.values()]
