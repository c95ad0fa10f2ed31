"""The log: every event that SamCart sent, newest first, with what was done about it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages import bulk_actions
from config.admin.pages.log import enrolling
from config.admin.pages.log import event as event_page
from config.admin.pages.log.event_list import EventList
from config.admin.pages.log.log_filters import (
    NOT_YET_IN,
    PRODUCT_NAME,
    ProductFilter,
    ResultFilter,
    SiteFilter,
    TriggerFilter,
)
from config.admin.parts import badges, event_result, times
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ReadOnly, takes_all
from config.admin.parts.filters import ReceivedFilter, takes_new
from events.deciding import naming
from events.execution import email_correction, reviewing
from events.execution.rerun import Rerun, rerun
from events.models import Delivery, EventLog, RuleRun
from events.reports import activity_search, review
from events.reports.earlier import nothing_to_end
from integrations.sentences import say, say_count

MANY_UNREAD = 1000


def _two_parts(first: str, second: SafeString) -> SafeString:
    """Return two parts, the second below the first."""
    return format_html('{} <span class="soft line">{}</span>', badges.breakable(first), second)


@admin.register(EventLog)
class LogAdmin(ReadOnly):
    list_title = _("Log")
    one, many = _("event"), _("events")
    across = True
    csv = "admin:csv-log"
    list_display = ("what", "who", "sold", "result")
    list_display_links = ("what",)
    list_filter = (ResultFilter, TriggerFilter, ProductFilter, SiteFilter, ReceivedFilter)
    also_asked = (PRODUCT_NAME,)
    list_select_related = ("customer", "product")
    ordering = ("-received_at", "-id")
    search_fields = ("order_id",)
    search_help_text = _("E-mail, order or name")
    nothing_fits = _("No events match.")
    actions = ("retry_chosen", "rerun_chosen", "deal_with_chosen")
    change_form_template = "admin/events/eventlog/event.html"
    buttons = (
        Button(
            "rerun",
            _("Run the rules again"),
            "events.rerun_eventlog",
            in_row=False,
            fits=event_page.may_run_again,
        ),
        Button(
            "deal_with",
            _("Mark as dealt with"),
            "events.dismiss_eventlog",
            in_row=False,
            fits=review.may_be_marked,
        ),
        Button(
            "give_email",
            _("Enter the right e-mail"),
            "events.rerun_eventlog",
            on_page=False,
            in_row=False,
        ),
        Button(
            "give_trigger",
            _("Name it"),
            "rules.add_namedtype",
            in_row=False,
            on_page=False,
        ),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EventList

    def get_queryset(self, request: HttpRequest) -> QuerySet[EventLog]:
        # Prefetched and not joined, because there are few integrations.
        runs = RuleRun.objects.prefetch_related("integration").order_by("pk")
        events = super().get_queryset(request).defer("verdicts", "custom_fields")
        return events.prefetch_related(Prefetch("runs", runs))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[EventLog], search_term: str
    ) -> tuple[QuerySet[EventLog], bool]:
        return activity_search.events(queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        new = Delivery.objects.filter(state=Delivery.State.NEW).order_by()
        context: dict[str, Any] = {"unread": new[:MANY_UNREAD].count()}
        context |= {"heard": EventLog.objects.exists(), "is_live": takes_new(request)}
        page = super().changelist_view(request, context | (extra_context or {}))
        if request.GET.get(ResultFilter.parameter_name) in NOT_YET_IN:
            enrolling.add_to(page, may_run=self.has_rerun_permission(request))
        return page

    # Columns

    @admin.display(description=_("Event"))
    def what(self, event: EventLog) -> SafeString:
        named = badges.happened(event) or badges.brief(event.raw_type) or say("Unknown")
        return _two_parts(named, times.ago(event.received_at))

    @admin.display(description=_("Customer"))
    def who(self, event: EventLog) -> SafeString:
        return badges.person(event.customer) if event.customer else badges.as_sent(event)

    @admin.display(description=_("Bought"))
    def sold(self, event: EventLog) -> SafeString | str:
        name = badges.brief(event.product.name) if event.product else "–"
        if not event.order_id:
            return badges.breakable(name)
        order = badges.brief(event.order_id)
        words = say("Order {number}", number=order)
        number = format_html('<span title="{}">#{}</span>', words, badges.breakable(order))
        return _two_parts(name, number)

    @admin.display(description=_("Result"))
    def result(self, event: EventLog) -> SafeString:
        badge, runs = event_result.event_badge(event), list(event.runs.all())
        return format_html("{} {}", badge, self._done(event, runs)) if runs else badge

    def _done(self, event: EventLog, runs: list[RuleRun]) -> SafeString:
        """Name what the actions give or end; unfolded, say of each how it stands."""
        told = getattr(event, "told", {})
        rows = (
            (
                badges.run_badge(run),
                badges.run_line(run),
                badges.breakable(badges.legible(told.get(run.pk, run.message), 300)),
            )
            for run in runs
        )
        ends = {
            run.destination_name or run.get_action_display(): run.spec.ends_access for run in runs
        }
        # What it gives comes before what was ended again, as after a move to another course.
        names = sorted(ends, key=lambda name: ends[name])
        first = badges.brief(names[0])
        if others := len(names) - 1:
            first = f"{first} +{others}"
        return format_html(
            '<details class="fold runs"><summary>{}</summary><ul>{}</ul></details>',
            badges.breakable(first),
            format_html_join("", "<li>{} {}<br><span>{}</span></li>", rows),
        )

    # Buttons and bulk

    def rerun(self, request: HttpRequest, event: EventLog) -> None:
        self._rerun(request, [event])

    def deal_with(self, request: HttpRequest, event: EventLog) -> None:
        self._deal_with(request, EventLog.objects.filter(pk=event.pk))

    def give_email(self, request: HttpRequest, event: EventLog) -> None:
        """Carry out the event for another address, because SamCart sent no usable one."""
        by, asked_for = request.user.get_username(), request.POST.get("asked_for", "")
        email = request.POST.get("email", "")
        try:
            queued = email_correction.give_email(event, email, by=by, asked_for=asked_for)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            text = say("Saved. See below.")
            if queued:
                text = say_count(
                    queued,
                    "Saved. 1 action is carried out for this address now.",
                    "Saved. {number} actions are carried out for this address now.",
                )
            self.message_user(request, text)

    def give_trigger(self, request: HttpRequest, event: EventLog) -> None:
        """Say which trigger an unknown type means. Deliveries that wait for it are read again."""
        if event.marketplace is None:
            return  # only what SamCart sent has a type
        try:
            found = naming.name_type(
                event.marketplace, event.raw_type, request.POST.get("trigger", "")
            )
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            trigger = request.POST["trigger"]
            text = naming.read_again_sentence(event.raw_type, trigger, found)
            self.message_user(request, text)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.retry_rulerun")

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.rerun_eventlog")

    def has_deal_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.dismiss_eventlog")

    @admin.action(description=_("Retry failed actions"), permissions=["retry"])
    def retry_chosen(self, request: HttpRequest, chosen: QuerySet[EventLog]) -> HttpResponse | None:
        # By a subquery, because these may be all events of the log.
        failed = RuleRun.objects.filter(
            event__in=chosen.order_by().values("pk"), status=RuleRun.Status.FAILED
        )
        return bulk_actions.retry(request, failed)

    @admin.action(description=_("Run the rules again"), permissions=["rerun"])
    def rerun_chosen(self, request: HttpRequest, chosen: QuerySet[EventLog]) -> HttpResponse | None:
        in_order = chosen.order_by("received_at", "pk")
        if len(in_order[:2]) > 1:
            return bulk_actions.preview_events(request, in_order)
        self._rerun(request, in_order)
        return None

    @admin.action(description=_("Mark as dealt with"), permissions=["deal"])
    def deal_with_chosen(
        self, request: HttpRequest, chosen: QuerySet[EventLog]
    ) -> HttpResponse | None:
        if takes_all(request):
            return bulk_actions.preview_events(
                request, chosen.order_by("received_at", "pk"), bulk_actions.DEAL
            )
        self._deal_with(request, chosen)
        return None

    def _rerun(self, request: HttpRequest, events: Any) -> None:
        """Run the rules again for one event."""
        batch = bulk_actions.new_batch(request, bulk_actions.TITLES[bulk_actions.RERUN]())
        ended = nothing_to_end.ended_meanwhile(events).values()
        done = Rerun(0, dict.fromkeys(ended, 1)) if ended else rerun(events, batch=batch)
        sentence = event_page.rerun_sentence(done)
        if done.queued and not batch.run_ids:  # the delivery is read again first
            self.message_user(request, sentence)
            return
        bulk_actions.start_with_message(request, batch, done.left, sentence)

    def _deal_with(self, request: HttpRequest, events: QuerySet[EventLog]) -> None:
        number = reviewing.mark_reviewed(events, by=request.user.get_username())
        if number:
            text = say_count(
                number, "1 event marked as dealt with.", "{number} events marked as dealt with."
            )
            self.message_user(request, text)
        else:
            text = say(
                "Nothing was marked: only events for which nothing was done can be marked as "
                "dealt with."
            )
            self.message_user(request, text, messages.WARNING)

    # The page of one event

    def title_of(self, thing: EventLog) -> str:
        return event_page.headline(thing)

    def get_urls(self) -> list[Any]:
        return event_page.addresses(self) + super().get_urls()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        facts = event_page.context(request, context["original"])
        return super().render_change_form(request, context | facts, *args, **kwargs)
