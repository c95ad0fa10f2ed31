"""The list of actions: why each one waits, and the filter by result."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from config.admin.parts.changelist import RowList
from config.admin.parts.filters import CountedFilter
from events.execution import former_days, wait_reasons
from events.models import RuleRun
from events.models.runs import DELAYED, RuleRunQuerySet
from events.reports import action_lists
from integrations.sentences import say

Status = RuleRun.Status
# What the result filter calls endings that kept the access, and actions whose access may be lost.
KEPT, STRANDED = "kept", "stranded"


class RunList(RowList):
    """A page of actions, each with the reason why it waits."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        runs = list(self.result_list)
        told = wait_reasons.reasons(runs)
        for run in runs:
            run.told = told[run.pk]
        self.result_list = runs


class StatusFilter(CountedFilter):
    title = _("result")
    parameter_name = "status__exact"
    statuses = Status

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            *((each.value, str(each.label)) for each in Status),
            (KEPT, say("Kept")),
            (DELAYED, say("Ends later")),
            (former_days.FORMER_DAYS, say("Ends later, on the day of a changed rule")),
            (STRANDED, say("Access may be lost")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RuleRun]) -> QuerySet[RuleRun]:
        if self.value() == STRANDED:
            return queryset.filter(pk__in=RuleRun.objects.stranded().values("pk"))
        if self.value() == former_days.FORMER_DAYS:
            return queryset.filter(pk__in=former_days.waiting().values("pk"))
        if self.value() == DELAYED:
            return queryset.filter(code=DELAYED)
        value = self.value()
        return self.of_status(queryset, value) if value else queryset

    def of_status(self, rows: QuerySet[RuleRun], value: str) -> QuerySet[RuleRun]:
        """Return the actions whose badge says so, which other choices do not list."""
        assert isinstance(rows, RuleRunQuerySet)
        lists = {
            Status.DONE: action_lists.carried_out,
            KEPT: action_lists.kept,
            Status.WAITING: action_lists.in_line,
        }
        return lists[value](rows) if value in lists else rows.filter(status=value)
