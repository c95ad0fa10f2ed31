"""The list of changes: its filters, and which entries form one line."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from config.admin.pages.staff import change_line, changes_undo, others_changes
from config.admin.parts import badges, batch_links
from config.admin.parts.changelist import RowList
from config.admin.parts.differences import kind_of
from config.admin.parts.filters import ReceivedFilter
from config.staff import people
from events.models import EventLog, RuleRun
from integrations.models import AuditEntry, Customer
from integrations.sentences import MINUTE, format_day, say
from integrations.who import shown_who

MAX_CHOICES = 50
# How many entries beyond a page's end are searched for the rest of a line.
MOST_OF_A_LINE = 1000
# How many of these are read at once.
READ_AT_ONCE = 50
# For entries without a step: one Save may write several within this time.
ONE_STEP = timedelta(seconds=2)
# The choice of the filter What for all that happens at sign-in.
SIGN_INS = "sign_ins"


class _Among(admin.SimpleListFilter):
    """A filter by the values that a column has."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = AuditEntry.objects.exclude(**{self.column: ""}).order_by(self.column)
        values = found.values_list(self.column, flat=True).distinct()[:MAX_CHOICES]
        return sorted(((value, self.label(value)) for value in values), key=lambda each: each[1])

    def label(self, value: str) -> str:
        return badges.brief(value)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        value = (self.value() or "").replace("\x00", "")
        return queryset.filter(**{self.column: value}) if value else queryset


class WhoFilter(_Among):
    title, parameter_name, column = _("who"), "who", "who"

    def label(self, value: str) -> str:
        return badges.brief(shown_who(value))

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """Return what the person did, also under an earlier address."""
        value = (self.value() or "").replace("\x00", "")
        return queryset.filter(who__in=people.user_names(value)) if value else queryset


class ActFilter(_Among):
    """The filter by act. Sign-ins change nothing, so they are shown only if asked for."""

    title, parameter_name, column = _("what"), "act", "act"
    first_at_hand = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(SIGN_INS, say("Sign-ins")), *super().lookups(request, model_admin)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        match self.value():
            case None | "":
                return queryset.exclude(act__in=others_changes.OF_SIGN_IN)
            case value if value == SIGN_INS:
                return queryset.filter(act__in=others_changes.OF_SIGN_IN)
        return super().queryset(request, queryset)

    def label(self, value: str) -> str:
        return capfirst(AuditEntry(act=value).sentence)


class KindFilter(_Among):
    title, parameter_name, column = _("about"), "kind", "kind"

    def label(self, value: str) -> str:
        return kind_of(AuditEntry(kind=value))


class WhenFilter(ReceivedFilter):
    title, parameter_name, moment = _("when"), "when", "at"


class OthersFilter(admin.SimpleListFilter):
    """What others changed since a moment. The Overview leads to it; it offers no other choice."""

    title, parameter_name = _("by others"), others_changes.SINCE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        since = others_changes.moment(self.value())
        if since is None:
            return []
        return [(str(self.value()), say("By others since {when}", when=format_day(since, MINUTE)))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        since = others_changes.moment(self.value())
        return others_changes.by_others(queryset, request, since) if since else queryset


class ChangesList(RowList):
    """A page of entries, in which those of one act, person and moment form one line.

    A line that the end of a page would cut is shown whole on the page where it begins.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        groups = self._whole_lines(entries) if entries else []
        customers = _customers([*chain.from_iterable(groups)])
        lines = changes_undo.lines(request, groups, customers)
        self.result_list = [change_line.show_as(line) for line in lines]

    def _whole_lines(self, entries: list[AuditEntry]) -> list[list[AuditEntry]]:
        newest, oldest = entries[0], entries[-1]
        newer = _alike(newest, self.queryset.filter(pk__gt=newest.pk).order_by("pk"))
        older = _alike(oldest, self.queryset.filter(pk__lt=oldest.pk).order_by("-pk"))
        groups = _grouped([*reversed(newer), *entries, *older])
        here = {entry.pk for entry in entries}
        # The whole page may be one line that began before it.
        return [group for group in groups if group[0].pk in here] or [
            group for group in groups if any(entry.pk in here for entry in group)
        ]


def _alike(entry: AuditEntry, neighbors: QuerySet[AuditEntry]) -> list[AuditEntry]:
    """Return the neighbors, the nearest first, that may belong to the entry's line."""
    found: list[AuditEntry] = []
    for start in range(0, MOST_OF_A_LINE, READ_AT_ONCE):
        for other in neighbors[start : start + READ_AT_ONCE]:
            if not _is_alike(found[-1] if found else entry, other):
                return found
            found.append(other)
        if len(found) < start + READ_AT_ONCE:
            break
    return found


def _grouped(entries: Iterable[AuditEntry]) -> list[list[AuditEntry]]:
    """Return the entries of each line; the newest come first, as in `entries`."""
    found: list[list[AuditEntry]] = []
    for entry in entries:
        if found and _belongs_to(found[-1], entry):
            found[-1].append(entry)
        else:
            found.append([entry])
    return found


def _belongs_to(line: Sequence[AuditEntry], entry: AuditEntry) -> bool:
    """Return whether the step that made the line made this entry. It changes no row twice."""
    twice = any(_same(each, entry, "act", "kind", "number") for each in line)
    return not twice and _is_alike(line[-1], entry)


def _is_alike(one: AuditEntry, other: AuditEntry) -> bool:
    if not _same(one, other, "who", "place"):
        return False
    batch = batch_links.number_of(one)
    if batch is not None and batch == batch_links.number_of(other):
        return True  # a batch does several acts
    if not _same(one, other, "act", "kind"):
        return False
    if one.step is not None or other.step is not None:
        return one.step == other.step
    return abs(one.at - other.at) < ONE_STEP


def _same(one: AuditEntry, other: AuditEntry, *names: str) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _customers(entries: Sequence[AuditEntry]) -> dict[int, Customer]:
    """Return whom each entry is about, or its event or action, by the entry's pk."""
    whose: dict[tuple[str, str], Customer | None] = {}
    own = str(Customer._meta.model_name)
    numbers = [int(e.number) for e in entries if e.kind == own and e.number.isdecimal()]
    for customer in Customer.objects.filter(pk__in=numbers) if numbers else ():
        whose[own, str(customer.pk)] = customer
    for model in (EventLog, RuleRun):
        kind = str(model._meta.model_name)
        numbers = [int(e.number) for e in entries if e.kind == kind and e.number.isdecimal()]
        rows = model._default_manager.filter(pk__in=numbers, customer__isnull=False)
        for row in rows.select_related("customer") if numbers else ():
            whose[kind, str(row.pk)] = row.customer
    found = {entry.pk: whose.get((entry.kind, entry.number)) for entry in entries}
    return {pk: customer for pk, customer in found.items() if customer is not None}
