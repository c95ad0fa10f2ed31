"""The admin's pages of what happened and what was done about it."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from events import again, inbox, waiting, wake
from events.models import Delivery, EventLog, RuleRun, Worker
from integrations.admin import ReadOnlyAdmin
from integrations.models import ApiCall
from integrations.samcart.payload import normalise_type
from rules.engine import REASONS, Why
from rules.models import NamedType
from rules.triggers import Trigger, from_type

LONGEST_TEXT = 100_000


def legible(text: str) -> str:
    """What a stranger sent, cut to a page, with signs that hide or turn text spelled out."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else f"\\u{ord(sign):04x}"
        for sign in text[:LONGEST_TEXT]
    )


class RuleRunInline(admin.TabularInline):
    model = RuleRun
    fields = readonly_fields = ("action", "destination_name", "status", "attempts", "why")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Message")
    def why(self, run: RuleRun) -> str:
        return waiting.reason(run)


class RetryAdmin(ReadOnlyAdmin):
    """A log whose failed actions can be queued again."""

    actions: Any = ("retry",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("events.change_rulerun")

    @admin.action(description="Retry what failed", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Any]) -> None:
        self._queue(request, self.runs_of(chosen), anyway=False)

    def runs_of(self, chosen: QuerySet[Any]) -> QuerySet[RuleRun]:
        raise NotImplementedError

    def _queue(self, request: HttpRequest, found: QuerySet[RuleRun], *, anyway: bool) -> None:
        queued, left = again.retry(found, anyway=anyway)
        if queued:
            with transaction.atomic():
                wake.wake()
        level = messages.SUCCESS if queued else messages.WARNING
        self.message_user(request, again.retried_sentence(queued, left), level)


@admin.register(EventLog)
class EventLogAdmin(RetryAdmin):
    list_display = ("received_at", "trigger", "customer", "product", "order_id", "status")
    list_filter = ("status", "trigger", "marketplace")
    search_fields = ("=order_id", "customer__email")
    list_select_related = ("customer", "product")
    exclude = ("verdicts", "rule_texts", "custom_fields")
    readonly_fields = ("why", "payload")
    inlines = (RuleRunInline,)

    def runs_of(self, chosen: QuerySet[EventLog]) -> QuerySet[RuleRun]:
        return RuleRun.objects.filter(event__in=chosen).order_by("received_at", "pk")

    @admin.display(description="Why")
    def why(self, event: EventLog) -> str:
        rows = (
            ("ran" if ran else "did not run", sentence, REASONS[Why(code)])
            for sentence, ran, code in event.sentences()
        )
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}: {} ({})</li>", rows))

    @admin.display(description="As received")
    def payload(self, event: EventLog) -> str:
        body = bytes(event.delivery.body)
        try:
            text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace")
        return format_html("<pre>{}</pre>", legible(text))


@admin.register(RuleRun)
class RuleRunAdmin(RetryAdmin):
    list_display = ("received_at", "action", "destination_name", "customer", "status", "message")
    list_filter = ("status", "integration", "action")
    search_fields = ("customer__email", "=event__order_id")
    list_select_related = ("customer",)
    exclude = ("lease_token", "lease_until")
    readonly_fields = ("calls",)
    actions = ("retry", "do_anyway")

    def runs_of(self, chosen: QuerySet[RuleRun]) -> QuerySet[RuleRun]:
        return chosen.order_by("received_at", "pk")

    @admin.action(description="Do it anyway", permissions=["retry"])
    def do_anyway(self, request: HttpRequest, chosen: QuerySet[RuleRun]) -> None:
        self._queue(request, self.runs_of(chosen), anyway=True)

    @admin.display(description="Calls to Thinkific")
    def calls(self, run: RuleRun) -> str:
        rows = (
            (
                f"{timezone.localtime(call.sent_at):%d %b %H:%M:%S}",
                call.method,
                call.url,
                legible(call.request_body),
                call.status or call.error,
                legible(call.response_body),
            )
            for call in ApiCall.objects.filter(run_id=run.pk).order_by("pk")
        )
        item = "<li>{} {} {} <pre>{}</pre> {} <pre>{}</pre></li>"
        return format_html("<ol>{}</ol>", format_html_join("", item, rows))


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "marketplace", "address_trigger", "state", "repeat_of")
    exclude = ("body", "secret")
    list_select_related = ("marketplace",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("body")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "started_at", "seen_at", "stopping")


class NamedTypeForm(forms.ModelForm):
    class Meta:
        model = NamedType
        fields = ("marketplace", "type", "trigger")

    def clean_type(self) -> str:
        """The form in which types are compared; what Admit knows needs no name."""
        word = normalise_type(self.cleaned_data["type"])
        known = from_type(word)
        if not word:
            raise forms.ValidationError("A type has letters or digits.")
        if known is not None:
            raise forms.ValidationError(f"Admit knows this type: it is {Trigger(known).label}.")
        return word


@admin.register(NamedType)
class NamedTypeAdmin(admin.ModelAdmin):
    """Naming a type has what waits for it read again, so this page stands here."""

    form = NamedTypeForm
    list_display = ("type", "trigger", "marketplace")
    list_select_related = ("marketplace",)

    def save_model(self, request: HttpRequest, obj: NamedType, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        found = inbox.reread(obj.marketplace_id, obj.type)
        if found:
            wake.wake()
            self.message_user(request, f"{found} deliveries of this type are read again.")
