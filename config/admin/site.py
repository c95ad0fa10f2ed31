"""The admin site: its names, menu, overview, sign-in and pages."""

import logging
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import UsernameField
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from config.admin import menu
from config.staff import confirmation, people, second_factor, sessions, sign_in_events
from config.staff.sign_in import TooManyTries, client_address, tries
from events.receiving.grouped_log import GroupedLog
from integrations.audit import Act

log = logging.getLogger(__name__)
_refused = GroupedLog(lambda count: log.warning("sign_ins_refused", extra={"count": count}))


class SignIn(AdminAuthenticationForm):
    """Sign-in by e-mail, which is the user name here."""

    username = UsernameField(
        label=_("E-mail"), widget=forms.TextInput(attrs={"autofocus": True, "inputmode": "email"})
    )
    error_messages = AdminAuthenticationForm.error_messages | {
        "invalid_login": _(
            "E-mail or password is wrong; capitals matter in the password. "
            "If you forgot the password, ask the owner of this Admit for a new link."
        )
    }

    def clean_username(self) -> str:
        return people.user_name(self.cleaned_data["username"])

    def clean(self) -> dict[str, Any]:
        """Check the password, unless there were too many tries: then it is not even hashed."""
        account = self.cleaned_data.get("username")
        if not account or not self.cleaned_data.get("password") or self.request is None:
            return super().clean()
        address = client_address(self.request)
        try:
            tries.begin(account, address)
        except TooManyTries as error:
            _refused.add()
            raise ValidationError(str(error), code="too_many_tries") from None
        try:
            found = super().clean()
        except ValidationError:
            known = User.objects.filter(username=account).first()
            sign_in_events.failed(Act.SIGN_IN_FAILED, self.request, known, typed=account)
            raise
        tries.succeeded(account, address)
        return found


class NewPassword(AdminPasswordChangeForm):
    """The form to change one's own password. Tries of the old one are counted as at sign-in."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        person, old = self.user, str(self.cleaned_data["old_password"])
        try:
            if confirmation.is_password(self.request, person, old):
                return old
        except TooManyTries as error:
            raise ValidationError(str(error), code="too_many_tries") from None
        sign_in_events.failed(Act.CONFIRM_FAILED, self.request, person)
        raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")


class AdmitSite(admin.AdminSite):
    login_form = SignIn
    logout_template = "admin/signed_out.html"
    site_header = site_title = "Admit"
    index_title = _("Overview")
    # The admin is the product: there is no other site to view.
    site_url = None
    # Our menu replaces it.
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may enter: with a second factor, only after its code."""
        return super().has_permission(request) and second_factor.passed(request)

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Ask for the password, and then for the code, or set up the second factor."""
        from config.admin.pages.account import sign_in_code

        if super().has_permission(request) and not second_factor.passed(request):
            return sign_in_code.show(request, people.signed_in(request))
        answer = super().login(request, extra_context)
        by_form = request.method == "POST" and answer.status_code == 302
        if by_form and second_factor.passed(request):
            sign_in_events.signed_in(request, people.signed_in(request))
        return answer

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST":
            sign_in_events.record(Act.SIGNED_OUT, request, people.signed_in(request))
        return super().logout(request, extra_context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show Django's page. After the change the person's other sessions end."""
        view = PasswordChangeView.as_view(
            form_class=partial(NewPassword, request=request),
            success_url=reverse("admin:password_change_done"),
            extra_context=self.each_context(request) | (extra_context or {}),
        )
        answer = view(request)
        if answer.status_code == 302:
            person = people.signed_in(request)
            sessions.end_all(person, but=request)
            sign_in_events.record(Act.PASSWORD_CHANGED, request, person)
        return answer

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if self.has_permission(request):
            context["menu"] = menu.for_person(request)
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return nothing: Django's own lists of models have no page here."""
        return []

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from config.admin.pages.overview import overview

        return overview.show(request)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # Not imported above: those modules need this site.
        from config.admin.registry import PAGES

        return [page.url(self) for page in PAGES] + super().get_urls()
