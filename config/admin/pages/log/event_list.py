"""The log's list: a page of events with their actions."""

from typing import Any

from django.http import HttpRequest

from config.admin.pages.log.log_filters import PRODUCT_NAME
from config.admin.parts import event_result
from config.admin.parts.changelist import RowList
from events.execution import wait_reasons


class EventList(RowList):
    """A page of events with their actions, each with the reason why it waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A word typed to find a product is used for this page only: no link of it repeats the word
        # and opens the chip again.
        for asked in (self.params, self.filter_params):
            asked.pop(PRODUCT_NAME, None)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        events = list(self.result_list)
        told = wait_reasons.reasons([run for event in events for run in event.runs.all()])
        for event in events:
            event.told = told
        event_result.note(events)
        self.result_list = events
