"""Actions: what rules did, or could not do yet, one row for each rule and event."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from config.admin.pages import bulk_actions
from config.admin.pages.customers import by_hand
from config.admin.pages.integrations import integration_messages
from config.admin.pages.log.action_buttons import (
    BUTTONS,
    misses_its_course,
    was_not_taken,
)
from config.admin.pages.log.action_list import RunList, StatusFilter
from config.admin.pages.rules.courses import another_course
from config.admin.parts import badges, times
from config.admin.parts.buttons import page_of
from config.admin.parts.changelist import ReadOnly, takes_all
from config.admin.parts.filters import IntegrationFilter, ReceivedFilter
from events.access import going_on
from events.execution import (
    delayed,
    email_correction,
    retry_by_hand,
    wait_reasons,
)
from events.models import RuleRun
from events.reports import activity_search
from events.reports.system import api_calls
from integrations import catalog_refresh
from integrations.models import ThinkificUser
from integrations.sentences import say, say_count
from rules.models import Rule

Status = RuleRun.Status


@admin.register(RuleRun)
class ActionAdmin(ReadOnly):
    list_title = _("Actions")
    one, many = _("action"), _("actions")
    across = True
    csv = "admin:csv-actions"
    list_display = ("what", "who", "happened")
    list_display_links = ("what",)
    list_filter = (StatusFilter, IntegrationFilter, "action", ReceivedFilter)
    list_select_related = ("customer", "integration", "event")
    ordering = ("-received_at", "-id")
    search_fields = ("customer__email",)
    search_help_text = _("E-mail or order number")
    empty = _("No actions yet. An action appears when an event matches a rule.")
    nothing_fits = _("No actions match.")
    actions = ("retry_chosen", "dismiss_chosen", "do_chosen_anyway", "end_on_rules_day")
    # A message links to the endings of a rule.
    also_asked = ("rule__id__exact",)
    buttons = BUTTONS
    # The links lead to what must be changed before a retry can help.
    links_first = True

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        """Return links to what can help where a retry cannot."""
        assert isinstance(thing, RuleRun)
        if going_on.failed_as_gone(thing) and request.user.has_perm(another_course.EDITS):
            page = another_course.address(thing, back=request.get_full_path())
            return [(page, "", another_course.in_row(request, thing))]
        return [*self._correction(request, thing), *self._integration(request, thing)]

    def _integration(self, request: HttpRequest, run: RuleRun) -> list[tuple[str, str, str]]:
        """Return a link to what must be changed first: a refused key, or a receiver's address."""
        site = run.integration
        if site is None or not request.user.has_perm("integrations.change_integration"):
            return []
        if was_not_taken(run):
            return [(page_of(site), "", say("Edit the address"))]
        waits = run.status == Status.WAITING and not run.spec.passes_on
        if waits and site.enabled and site.connection == site.Connection.REFUSED:
            label = say("Edit the integration") if site.not_let_in else say("Enter the key")
            return [(f"{page_of(site)}#id_secret", "", label)]
        return []

    def _correction(self, request: HttpRequest, run: RuleRun) -> list[tuple[str, str, str]]:
        if not email_correction.lacks_email(run) or not request.user.has_perm(
            "events.rerun_eventlog"
        ):
            return []
        page = reverse("admin:events_eventlog_change", args=[run.event_id])
        return [(f"{page}#give-email", "", say("Enter the right e-mail"))]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RuleRun], search_term: str
    ) -> tuple[QuerySet[RuleRun], bool]:
        return activity_search.runs(queryset, search_term), False

    # Columns

    @admin.display(description=_("Action"))
    def what(self, run: RuleRun) -> SafeString:
        # An action without a course or bundle names its integration already.
        where = run.integration if run.destination_id is not None else None
        # When it was done; the list is sorted by when its event came, for which there is an index.
        at = times.ago(run.finished_at or run.started_at or run.received_at)
        below = format_html("{} · {}", badges.breakable(badges.brief(where)), at) if where else at
        return format_html('{} <span class="soft line">{}</span>', badges.run_line(run), below)

    @admin.display(description=_("Customer"))
    def who(self, run: RuleRun) -> SafeString:
        return badges.whose(run)

    @admin.display(description=_("Result"))
    def happened(self, run: RuleRun) -> SafeString:
        told = badges.breakable(badges.legible(getattr(run, "told", run.message), 300))
        return format_html("{} {}", badges.run_badge(run), told)

    # Buttons and bulk

    def retry(self, request: HttpRequest, run: RuleRun) -> None:
        bulk_actions.retry_now(request, [run], say("Retry"))

    def try_now(self, request: HttpRequest, run: RuleRun) -> None:
        """Retry at once what would be tried again later."""
        bulk_actions.retry_now(request, [run], say("Try now"))

    def release(self, request: HttpRequest, run: RuleRun) -> None:
        bulk_actions.retry_now(request, [run], say("Release"))

    def do_anyway(self, request: HttpRequest, run: RuleRun) -> None:
        bulk_actions.retry_now(request, [run], say("Do it anyway"), anyway=True)

    def run_again(self, request: HttpRequest, run: RuleRun) -> None:
        """Send a message again, for a receiver that lost it."""
        reason = retry_by_hand.run_again(run)
        batch = bulk_actions.new_batch(request, say("Run again"))
        text = say("Queued as a new message.")
        if reason:
            text = say("Not sent again: {reason}.", reason=reason)
        else:
            batch.run_ids = [run.pk]
        bulk_actions.start_with_message(request, batch, {}, text)

    def end_now(self, request: HttpRequest, run: RuleRun) -> None:
        """Carry out an ending that waits for its day, or for a person to release it."""
        if run.status == Status.HELD:
            bulk_actions.retry_now(request, [run], say("End it now"))
            return
        batch = bulk_actions.new_batch(request, say("End it now"))
        text = say("It is no longer waiting.")
        if delayed.bring_forward(run, by=request.user.get_username()):
            batch.run_ids, text = [run.pk], say("Queued.")
        bulk_actions.start_with_message(request, batch, {}, text)

    def keep(self, request: HttpRequest, run: RuleRun) -> None:
        """Keep the access: dismiss the ending that waits."""
        kept = retry_by_hand.dismiss([run], by=request.user.get_username()) if run.is_pending else 0
        text = say("It is no longer waiting.")
        if kept:
            name = badges.brief(run.destination_name)
            text = say("The access to {name} stays.", name=name)
        self.message_user(request, text, messages.SUCCESS if kept else messages.WARNING)

    def dismiss(self, request: HttpRequest, run: RuleRun) -> None:
        self._dismiss(request, [run])

    def refresh(self, request: HttpRequest, run: RuleRun) -> None:
        if run.integration is not None:
            integration_messages.say_refreshed(
                request, run.integration, catalog_refresh.refresh(run.integration)
            )

    def turn_rule_off(self, request: HttpRequest, run: RuleRun) -> None:
        """Turn off the rule, for a receiver that does not want its messages anymore."""
        if run.rule is not None:
            rules: Any = self.admin_site.get_model_admin(Rule)
            rules.switch_off(request, run.rule)

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        assert isinstance(thing, RuleRun)
        links = [*self._correction(request, thing), *by_hand.links_of(request, thing)]
        links += self._integration(request, thing)
        may = thing.rule_id is not None and request.user.has_perm(another_course.EDITS)
        if may and misses_its_course(thing):
            page = another_course.address(thing, back=request.get_full_path())
            links.append((page, "primary", another_course.label(thing)))
        return links

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.retry_rulerun")

    def has_dismiss_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.dismiss_rulerun")

    @admin.action(description=_("Retry"), permissions=["retry"])
    def retry_chosen(self, request: HttpRequest, chosen: QuerySet[RuleRun]) -> HttpResponse | None:
        return bulk_actions.retry(request, chosen)

    @admin.action(description=_("Do it anyway"), permissions=["retry"])
    def do_chosen_anyway(
        self, request: HttpRequest, chosen: QuerySet[RuleRun]
    ) -> HttpResponse | None:
        return bulk_actions.retry(request, chosen, bulk_actions.ANYWAY)

    @admin.action(description=_("Dismiss"), permissions=["dismiss"])
    def dismiss_chosen(
        self, request: HttpRequest, chosen: QuerySet[RuleRun]
    ) -> HttpResponse | None:
        if takes_all(request):
            return bulk_actions.preview_runs(
                request, chosen.order_by("received_at", "pk"), bulk_actions.DISMISS
            )
        self._dismiss(request, chosen)
        return None

    @admin.action(description=_("End on the rule's day"), permissions=["retry"])
    def end_on_rules_day(self, request: HttpRequest, chosen: QuerySet[RuleRun]) -> HttpResponse:
        in_order = chosen.order_by("received_at", "pk")
        return bulk_actions.preview_runs(request, in_order, bulk_actions.DAYS)

    def _dismiss(self, request: HttpRequest, runs: Any) -> None:
        number = retry_by_hand.dismiss(runs, by=request.user.get_username())
        if number:
            text = say_count(
                number,
                "1 action dismissed. No further action is needed.",
                "{number} actions dismissed. No further action is needed.",
            )
            self.message_user(request, text)
        else:
            text = say(
                "Nothing was dismissed: only actions that failed or wait for you can be dismissed."
            )
            self.message_user(request, text, messages.WARNING)

    # A page of its own

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        run = context["original"]
        calls = api_calls.of_runs([run]).get(run.pk, [])
        told = {
            "told": wait_reasons.reason(run),
            "runs": [run],
            "under_way": wait_reasons.under_way([run]),
            "calls": calls,
            "failed": api_calls.failed_attempts([run], {run.pk: calls}).get(run.pk, []),
            "removed": api_calls.removed_sentence(run),
            "student": ThinkificUser.objects.filter(
                customer=run.customer_id, integration=run.integration_id
            ).first(),
            "answer": calls[-1] if calls and run.spec.passes_on else None,
        }
        return super().render_change_form(request, context | told, *args, **kwargs)
