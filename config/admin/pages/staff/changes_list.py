"""The list of changes: its filters, and which entries form one line."""

from collections.abc import Container, Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges, batch_links
from config.admin.parts.changelist import RowList
from config.admin.parts.differences import kind_of
from config.admin.parts.filters import ReceivedFilter
from events.models import EventLog, RuleRun
from integrations import audit
from integrations.audit import Act
from integrations.models import AuditEntry, Customer
from rules import undoing

MANY = 50
# How many entries beyond a page's end are searched for the rest of a line.
MOST_OF_A_LINE = 1000
# For entries without a step: one Save may write several within this time.
ONE_STEP = timedelta(seconds=2)


class _Among(admin.SimpleListFilter):
    """A filter by the values that a column has."""

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


class ChangesList(RowList):
    """A page of entries, in which those of one act, person and moment form one line.

    A line that the end of a page would cut is shown whole on the page where it begins.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        entries = list(self.result_list)
        self.result_list = self._whole_lines(entries) if entries else []
        _note_customers(chain.from_iterable(line.line for line in self.result_list))
        _note_what_can_be_undone(self.result_list)
        _note_batches(request, self.result_list)

    def _whole_lines(self, entries: list[Any]) -> list[Any]:
        newest, oldest = entries[0], entries[-1]
        newer = _alike(newest, self.queryset.filter(pk__gt=newest.pk).order_by("pk"))
        older = _alike(oldest, self.queryset.filter(pk__lt=oldest.pk).order_by("-pk"))
        lines = _lines([*reversed(newer), *entries, *older])
        here = {entry.pk for entry in entries}
        # The whole page may be one line that began before it.
        return [line for line in lines if line.pk in here] or [
            line for line in lines if any(entry.pk in here for entry in line.line)
        ]


def _alike(entry: AuditEntry, neighbors: QuerySet[AuditEntry]) -> list[Any]:
    """Return the neighbors, the nearest first, that may belong to the entry's line."""
    found: list[Any] = []
    for start in range(0, MOST_OF_A_LINE, MANY):
        for other in neighbors[start : start + MANY]:
            if not _is_alike(found[-1] if found else entry, other):
                return found
            found.append(other)
        if len(found) < start + MANY:
            break
    return found


def _lines(entries: Iterable[Any]) -> list[Any]:
    """Return the first entry of each line, with the whole line as `line`; the newest come first."""
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
    """Return whether the step that made the line made this entry. It changes no row twice."""
    twice = any(each.number == entry.number for each in line)
    return not twice and _is_alike(line[-1], entry)


def _is_alike(one: AuditEntry, other: AuditEntry) -> bool:
    same = ("act", "kind", "who", "place")
    if not all(getattr(one, name) == getattr(other, name) for name in same):
        return False
    if one.step is not None or other.step is not None:
        return one.step == other.step
    return abs(one.at - other.at) < ONE_STEP


def _note_customers(entries: Iterable[Any]) -> None:
    """Set `customer` on each entry of an event or action, whose own name does not say it."""
    entries = list(entries)
    whose: dict[tuple[str, str], Customer | None] = {}
    for model in (EventLog, RuleRun):
        kind = str(model._meta.model_name)
        numbers = [int(e.number) for e in entries if e.kind == kind and e.number.isdecimal()]
        rows = model._default_manager.filter(pk__in=numbers, customer__isnull=False)
        for row in rows.select_related("customer") if numbers else ():
            whose[kind, str(row.pk)] = row.customer
    for entry in entries:
        entry.customer = whose.get((entry.kind, entry.number))


def _note_batches(request: HttpRequest, lines: Iterable[Any]) -> None:
    """Set `batch` of each line to a link to the results of its batch.

    "" if its entries are not of one batch, or if this person may not see it.
    """
    lines = list(lines)
    known = batch_links.there(request, chain.from_iterable(line.line for line in lines))
    for each in lines:
        numbers = {batch_links.number_of(entry) for entry in each.line}
        number = numbers.pop() if len(numbers) == 1 else None
        each.batch = batch_links.link(request, number) if number in known else ""


def _note_what_can_be_undone(lines: Iterable[Any]) -> None:
    """Set what of each line can be undone.

    `undoable`: it is one entry, the newest of its rule or of a product that is gone; pressing Undo
    looks closer. `left`, for rules added or deleted in one step: how many rules of the step can be
    undone, including those that a search left out, and `all_left` if all of them can. `undone`:
    all of the line was undone.
    """
    lines = list(lines)
    entries = [entry for line in lines for entry in line.line]
    undone = undoing.undone(entries) | batch_links.undone(entries)
    last = undoing.newest(entries)
    steps = {each.pk: undoing.of_step(each) for each in lines if _is_step(each, last)}
    left = {entry.pk for entry in undoing.left(chain.from_iterable(steps.values()))}
    for each in lines:
        step = steps.get(each.pk, ())
        alone = len(each.line) == 1
        each.undoable = alone and (each.pk in last or _is_product_gone(each))
        each.left = len([entry for entry in step if entry.pk in left])
        each.all_left = each.left == len(step)
        each.undone = all(entry.pk in undone for entry in each.line)


def _is_step(line: Any, last: Container[int]) -> bool:
    """Whether the line added or deleted several rules at once, and some have not changed since."""
    at_once = line.step is not None or len({entry.at for entry in line.line}) == 1
    several = len(line.line) > 1 and line.act in {Act.RULE_ADDED, Act.RULE_DELETED}
    return several and at_once and any(entry.pk in last for entry in line.line)


def _is_product_gone(entry: AuditEntry) -> bool:
    return entry.act == Act.PRODUCT_DELETED and not undoing.why_not(entry)
