"""Filters that several lists share."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.db.models import QuerySet, TextChoices
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from config.admin.parts.params import row_id
from events.reports.counting import NumberOf
from events.reports.days import start_of
from integrations.models import Integration
from integrations.sentences import format_day, say

TODAY = "today"
PERIODS = ("1", "7", "30")  # days
# Up to how many rows are counted beside a choice.
MAX_COUNT = 99


class ReceivedFilter(admin.SimpleListFilter):
    """The filter by time of receipt, for which each log has an index: some days, or one day.

    One day is a date such as 2026-11-24, in the reader's time zone. Yesterday is one of them.
    """

    title = _("received")
    parameter_name = "received"
    template = "admin/received_chip.html"
    moment = "received_at"
    # Its first choice, today, is also a link beside the filters.
    first_at_hand = True

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        own = {self.parameter_name, PAGE_VAR, ERROR_FLAG}
        # The other filters stay as chosen while a person enters a day.
        self.kept = [(name, value) for name, value in request.GET.items() if name not in own]
        self.day = _day(request.GET.get(self.parameter_name))
        self.today = timezone.localdate()
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = say("Last 24 hours"), say("Last 7 days"), say("Last 30 days")
        yesterday = self.today - timedelta(days=1)
        found: list[tuple[str, str]] = [(TODAY, say("Today"))]
        found += [(yesterday.isoformat(), say("Yesterday")), *zip(PERIODS, names, strict=True)]
        if self.day and self.day != yesterday:
            found.append((self.day.isoformat(), format_day(self.day)))
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.day:
            after = self.day + timedelta(days=1)
            queryset = queryset.filter(**{f"{self.moment}__lt": start_of(after)})
            since = start_of(self.day)
        elif self.value() == TODAY:
            since = start_of(self.today)
        elif self.value() in PERIODS:
            since = timezone.now() - timedelta(days=int(str(self.value())))
        else:
            return queryset
        return queryset.filter(**{f"{self.moment}__gte": since})


def takes_new(request: HttpRequest) -> bool:
    """Return whether what comes now would be in the list, which may be of a past day."""
    day = _day(request.GET.get(ReceivedFilter.parameter_name))
    return day is None or day >= timezone.localdate()


def _day(text: str | None) -> date | None:
    """Return the day that the text names, None if it names none or one of another millennium."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if day.isoformat() == text and 2000 <= day.year < 3000 else None


class IntegrationFilter(admin.SimpleListFilter):
    """The filter by integration, one of `among`. `of` is the lookup from a row to it."""

    title = _("integration")
    parameter_name = "integration"
    of = "integration"
    among = Integration.objects.all()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in self.among.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        number = row_id(self.value())
        return queryset if number is None else queryset.filter(**{self.of: number})


class CountedFilter(admin.SimpleListFilter):
    """A filter with the number of rows beside each choice, as "7" or "99+".

    Only for `statuses`, and only while nothing else is chosen: then each count ends early in the
    index by status.
    """

    statuses: type[TextChoices]
    _numbers: Mapping[str, str] | None = None

    def of_status(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Return those of the rows that have this status."""
        return rows.filter(status=value)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        if self._numbers is None:
            self._numbers = self._count(changelist)
        every, *choices = super().choices(changelist)
        yield every
        for choice, (value, _name) in zip(choices, self.lookup_choices, strict=True):
            yield choice | {"number": self._numbers.get(str(value), "")}

    def _count(self, changelist: ChangeList) -> Mapping[str, str]:
        if changelist.query or set(changelist.filter_params) - {self.parameter_name}:
            return {}
        rows = changelist.model._default_manager.order_by()
        values = self.statuses.values
        parts = (self.of_status(rows, value).values("pk") for value in values)
        found = rows.values_list(*(NumberOf(part[: MAX_COUNT + 1]) for part in parts))[:1]
        numbers = next(iter(found), [0] * len(values))
        return {value: _spoken(number) for value, number in zip(values, numbers, strict=True)}


def _spoken(number: int) -> str:
    return f"{MAX_COUNT}+" if number > MAX_COUNT else str(number)
