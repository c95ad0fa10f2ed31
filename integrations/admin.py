"""The admin's pages of what is outside: SamCart accounts, Thinkific sites and the calls."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from integrations import budget, connect
from integrations.errors import OutsideError
from integrations.models import (
    ApiCall,
    Customer,
    Destination,
    FieldMapping,
    Integration,
    Intent,
    Learner,
    Marketplace,
    Product,
    ProfileField,
    WebhookSecret,
)
from integrations.secrets import SecretUnreadable
from integrations.thinkific import catalogue
from integrations.thinkific.site import subdomain


class ReadOnlyAdmin(admin.ModelAdmin):
    """A log: it is looked at, never written."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class IntegrationForm(forms.ModelForm):
    secret = forms.CharField(
        label="API key or access token",
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Integration
        fields = ("app", "name", "site", "secret", "send_welcome_email", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The field's own limit is that of a subdomain; people paste the whole address.
        self.fields["site"] = forms.CharField(
            label="Site URL", help_text="Such as school.thinkific.com, or only school."
        )
        ending = self.instance.secret_ending
        self.fields["secret"].required = not self.instance.pk
        self.fields["secret"].help_text = (
            f"Leave empty to keep the key that ends in …{ending}."
            if self.instance.pk
            else "In Thinkific under Settings > Code & Analytics > API."
        )

    def clean_site(self) -> str:
        try:
            site = subdomain(self.cleaned_data["site"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if self.instance.pk and site != self.instance.site:
            raise forms.ValidationError("Another school: make a new integration for it.")
        return site


class FieldMappingInline(admin.TabularInline):
    model = FieldMapping
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "profile_field":
            site = request.resolver_match and request.resolver_match.kwargs.get("object_id")
            fields = ProfileField.objects.filter(integration=site or None)
            mappable = [field.pk for field in fields if field.mappable]
            kwargs["queryset"] = fields.filter(pk__in=mappable)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Integration)
class IntegrationAdmin(admin.ModelAdmin):
    form = IntegrationForm
    list_display = ("name", "site", "connection", "enabled", "refreshed_at")
    readonly_fields = ("connection", "connection_message", "refreshed_at")
    inlines = (FieldMappingInline,)
    actions = ("refresh",)

    def get_inlines(self, request: HttpRequest, obj: Integration | None) -> Any:
        # Before the first refresh there is nothing to map to.
        return self.inlines if obj else ()

    def save_model(self, request: HttpRequest, obj: Integration, form: Any, change: bool) -> None:
        connect.save(obj, form.cleaned_data["secret"])
        request.saved_integration = obj  # type: ignore[attr-defined]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().changeform_view(request, *args, **kwargs)
        # Only now is the transaction over: no call goes out inside one.
        saved = getattr(request, "saved_integration", None)
        if saved is not None:
            self._refresh(request, saved)
        return response

    @admin.action(description="Refresh courses, bundles and signup fields", permissions=["change"])
    def refresh(self, request: HttpRequest, chosen: QuerySet[Integration]) -> None:
        for integration in chosen:
            self._refresh(request, integration)

    def _refresh(self, request: HttpRequest, integration: Integration) -> None:
        try:
            changes = catalogue.refresh(integration)
        except (OutsideError, SecretUnreadable) as error:
            self.message_user(request, f"{integration}: {error.message}", messages.ERROR)
        except (budget.SiteBlocked, budget.NoSlot) as error:
            self.message_user(
                request,
                f"{integration} may not be called for {error.seconds:.0f} s yet. Refresh it then.",
                messages.WARNING,
            )
        else:
            self.message_user(request, f"{integration}: refreshed. {changes.sentence()}")


class WebhookSecretInline(admin.TabularInline):
    model = WebhookSecret
    fields = readonly_fields = ("created_at", "expires_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Marketplace)
class MarketplaceAdmin(admin.ModelAdmin):
    list_display = ("name", "created_at")
    inlines = (WebhookSecretInline,)
    actions = ("show_address", "new_secret")

    def save_model(self, request: HttpRequest, obj: Marketplace, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            connect.add_webhook_secret(obj)

    @admin.action(description="Show the address for SamCart", permissions=["change"])
    def show_address(self, request: HttpRequest, chosen: QuerySet[Marketplace]) -> HttpResponse:
        """A page and not a message: messages are kept in cookies and sessions."""
        context = self.admin_site.each_context(request) | {
            "title": "Addresses for SamCart",
            "opts": self.opts,
            "addresses": [(account, _address(account)) for account in chosen],
        }
        response = TemplateResponse(request, "admin/samcart_addresses.html", context)
        add_never_cache_headers(response)
        return response

    @admin.action(
        description="Make a new address; the old one lives on for 7 days", permissions=["change"]
    )
    def new_secret(self, request: HttpRequest, chosen: QuerySet[Marketplace]) -> HttpResponse:
        for account in chosen:
            connect.add_webhook_secret(account)
        return self.show_address(request, chosen)


def _address(account: Marketplace) -> str:
    try:
        return connect.webhook_address(account) or "It has no address yet: make a new one."
    except SecretUnreadable as error:
        return error.message


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("name", "external_id", "kind", "marketplace")
    search_fields = ("name", "external_id")
    list_select_related = ("marketplace",)


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "external_id", "integration", "published", "gone_at")
    list_filter = ("integration", "kind")
    search_fields = ("name",)
    list_select_related = ("integration",)


@admin.register(ProfileField)
class ProfileFieldAdmin(ReadOnlyAdmin):
    list_display = ("label", "field_type", "required", "integration", "gone_at")
    list_select_related = ("integration",)


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    list_display = ("email", "first_name", "last_name", "created_at")
    search_fields = ("email", "first_name", "last_name")


@admin.register(Learner)
class LearnerAdmin(ReadOnlyAdmin):
    list_display = ("customer", "integration", "user_id", "administrator")
    search_fields = ("customer__email",)
    list_select_related = ("customer", "integration")


@admin.register(Intent)
class IntentAdmin(ReadOnlyAdmin):
    list_display = ("target", "customer", "integration", "accepted", "sent_at")
    list_select_related = ("customer", "integration")


@admin.register(ApiCall)
class ApiCallAdmin(ReadOnlyAdmin):
    list_display = ("sent_at", "method", "url", "status", "error", "milliseconds")
    list_filter = ("integration", "status")
    search_fields = ("=run_id",)
