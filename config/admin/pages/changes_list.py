"""The list of changes: its filters, and which entries are one line."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges
from config.admin.parts.differences import kind_of
from config.admin.parts.filters import ReceivedFilter
from events.models import EventLog, RuleRun
from integrations import audit
from integrations.models import AuditEntry, Customer
from rules import undoing
from rules.models import Rule

MANY = 50
# A Save may write its entries one after the other.
ONE_STEP = timedelta(seconds=2)


class _Among(admin.SimpleListFilter):
    """By the values that the table has in a column."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = AuditEntry.objects.exclude(**{self.column: ""}).order_by(self.column)
        values = found.values_list(self.column, flat=True).distinct()[:MANY]
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
        return badges.brief(audit.shown_who(value))


class ActFilter(_Among):
    title, parameter_name, column = _("what"), "act", "act"

    def label(self, value: str) -> str:
        return capfirst(AuditEntry(act=value).sentence)


class KindFilter(_Among):
    title, parameter_name, column = _("about"), "kind", "kind"

    def label(self, value: str) -> str:
        return kind_of(AuditEntry(kind=value))


class WhenFilter(ReceivedFilter):
    title, parameter_name, moment = _("when"), "when", "at"


class ChangesList(ChangeList):
    """A page of entries, in which those of one act, person and moment are one line."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        _note_customers(entries)
        self.result_list = _lines(entries)
        _note_what_can_be_undone(self.result_list)


def _lines(entries: Iterable[Any]) -> list[Any]:
    """The first entry of each line, with all of the line as `line`; the newest come first."""
    found: list[Any] = []
    for entry in entries:
        line = found[-1].line if found else []
        if line and _is_of(line, entry):
            line.append(entry)
        else:
            entry.line = [entry]
            found.append(entry)
    return found


def _is_of(line: Sequence[AuditEntry], entry: AuditEntry) -> bool:
    """Whether one step of one person made it, as the line; that changes no thing twice."""
    later, same = line[-1], ("act", "kind", "who", "place")
    alike = all(getattr(later, name) == getattr(entry, name) for name in same)
    twice = any(each.number == entry.number for each in line)
    return alike and not twice and later.at - entry.at < ONE_STEP


def _note_customers(entries: Iterable[Any]) -> None:
    """Whose each event or action is, as `customer`; its own name does not say it."""
    whose: dict[tuple[str, str], Customer | None] = {}
    for model in (EventLog, RuleRun):
        kind = str(model._meta.model_name)
        numbers = [int(e.number) for e in entries if e.kind == kind and e.number.isdecimal()]
        rows = model._default_manager.filter(pk__in=numbers, customer__isnull=False)
        for row in rows.select_related("customer") if numbers else ():
            whose[kind, str(row.pk)] = row.customer
    for entry in entries:
        entry.customer = whose.get((entry.kind, entry.number))


def _note_what_can_be_undone(lines: Iterable[Any]) -> None:
    """As `undoable`: an entry that is the newest of its rule; pressing Undo looks closer."""
    of_rules = {each.number for each in lines if each.act in undoing.UNDONE}
    every = AuditEntry.objects.filter(
        kind=Rule._meta.model_name, number__in=of_rules, act__in=undoing.UNDONE
    )
    newest = every.order_by().values("number").annotate(last=Max("pk"))
    last = set(newest.values_list("last", flat=True)) if of_rules else set()
    for each in lines:
        each.undoable = len(each.line) == 1 and each.pk in last
