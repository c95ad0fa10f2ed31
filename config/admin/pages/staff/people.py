"""People: who may sign in, and in which role. For owners only. Admit sends them no e-mail."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse, reverse_lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from config.admin.menu import allowed
from config.admin.pages.staff.staff_form import PersonForm
from config.admin.parts import badges, times
from config.admin.parts.audited import Watched
from config.admin.parts.buttons import Button
from config.admin.parts.changelist import ListAdmin
from config.admin.parts.confirm import ask, ask_owner
from config.admin.parts.page import render
from config.models import Authenticator
from config.staff import people, roles, second_factor, sessions, sign_in_events
from integrations.audit import Act
from integrations.sentences import say
from integrations.who import OWNERS_ONLY

NO_FACTOR_LEFT = _(
    "After that the password alone lets the person in, until they set up another second factor. "
    "Do this only if the phone is lost and you are sure that the person asking is really who they "
    "say."
)


class Welcome(PasswordResetConfirmView):
    """Where a one-time link leads: choose a password, and be signed in, except for the code."""

    template_name = "admin/people/welcome.html"
    title = _("Choose your password")
    post_reset_login = True
    post_reset_login_backend = "django.contrib.auth.backends.ModelBackend"
    success_url = reverse_lazy("admin:index")

    def get_user(self, uidb64: str) -> Any:
        person = super().get_user(uidb64)
        return person if person and person.is_active and person.is_staff else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # Without a menu: the browser may be signed in to another account.
        frame = admin.site.each_context(self.request) | {"has_permission": False}
        return frame | super().get_context_data(**kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        sessions.end_all(form.user)
        answer = super().form_valid(form)
        sign_in_events.record(Act.PASSWORD_CHANGED, self.request, form.user)
        if second_factor.passed(self.request):
            sign_in_events.signed_in(self.request, form.user)
            messages.success(self.request, say("Your password is set, and you are signed in."))
        return answer


class People(Watched, ListAdmin):
    form = PersonForm
    fields = ("name", "email", "role")
    list_title = _("People")
    one, many = _("person"), _("people")
    empty = _("Nobody.")
    add_label = _("New person")
    list_display = ("shown_name", "shown_email", "role", "last_sign_in", "by_code", "state")
    ordering = ("first_name", "last_name", "pk")
    actions = None
    buttons = (
        Button("new_link", _("New link"), OWNERS_ONLY, fits=lambda person: person.is_active),
        Button("switch_off", _("Switch off"), OWNERS_ONLY, fits=lambda person: person.is_active),
        Button("switch_on", _("Switch on"), OWNERS_ONLY, fits=lambda person: not person.is_active),
        Button(
            "remove_second_factor",
            _("Remove second factor"),
            OWNERS_ONLY,
            fits=lambda person: second_factor.of(person) is not None,
            in_row=False,
            confirm=lambda _: NO_FACTOR_LEFT,
        ),
    )

    @property
    def intro(self) -> SafeString:  # type: ignore[override]
        return format_html(
            '{} <a href="{}">{}</a>',
            say("Who may sign in, and as what. Admit sends no e-mail: you pass the link on."),
            reverse("admin:auth_group_changelist"),
            say("What each role may do"),
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return allowed(request, OWNERS_ONLY)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return allowed(request, OWNERS_ONLY)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return allowed(request, OWNERS_ONLY)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: people are switched off instead, and what they did keeps their name."""
        return False

    def get_urls(self) -> list[Any]:
        # Without `admin_view`: a person who follows the link cannot sign in yet.
        welcome = path("welcome/<uidb64>/<token>/", Welcome.as_view(), name="welcome")
        return [welcome, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        factor = Authenticator.objects.filter(user=OuterRef("pk"), confirmed=True)
        found: QuerySet[User] = super().get_queryset(request).prefetch_related("groups")
        return found.annotate(has_factor=Exists(factor))

    def row_links(self, request: HttpRequest, thing: Any) -> list[tuple[str, str, str]]:
        return [(badges.changes_page(thing.get_username()), "", say("Changes"))]

    def page_links(self, request: HttpRequest, thing: Any) -> list[tuple[str, str, str]]:
        sessions_page = reverse("admin:person-sessions", args=[thing.pk])
        return [(sessions_page, "", say("Sessions")), *self.row_links(request, thing)]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.by = request.user  # the class is made again for each request
        return form

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_owner(request) or super().add_view(request, *args, **kwargs)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        page = ask_owner(request)
        return page or super().change_view(request, object_id, *args, **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if context.get("original") is None:
            context["save_label"] = say("Add and create the link")
        answer = super().render_change_form(request, context, *args, **kwargs)
        person = context.get("original")
        answer.context_data["title"] = (
            badges.brief(people.display_name(person)) if person else self.add_label
        )
        return answer

    def stored_of(self, thing: User) -> dict[str, str]:
        return people.stored(thing)

    def typed_in(self, form: Any) -> dict[str, str]:
        return {name: form.cleaned_data[name] for name in self.fields}

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        found = {name: form.cleaned_data[name] for name in self.fields}
        people.save(obj, by=form.by, **found)

    def response_add(self, request: HttpRequest, obj: User, *_: Any, **__: Any) -> HttpResponse:
        """Show the new person's link. `add_view` has asked; a code would not be right twice."""
        return self._shown_link(request, obj)

    def new_link(self, request: HttpRequest, person: User) -> HttpResponse:
        """Make another link, which replaces the earlier one."""
        return ask(request) or self._shown_link(request, person)

    def _shown_link(self, request: HttpRequest, person: User) -> HttpResponse:
        """Show the link this once on a page; a message would be stored with the session."""
        try:
            link = people.new_link(person)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(self.home())
        return render(
            request,
            "admin/people/link.html",
            title=say("Link for {name}", name=badges.brief(people.display_name(person))),
            person=person,
            address=request.build_absolute_uri(link.path),
            until=link.until,
        )

    def switch_off(self, request: HttpRequest, person: User) -> HttpResponse:
        """End the person's sign-in and sessions."""
        try:
            people.switch_off(person, by=people.signed_in(request))
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            sessions.end_all(person)
            name = people.display_name(person)
            self.message_user(request, say("{name} is off and cannot sign in anymore.", name=name))
        return HttpResponseRedirect(self.home())

    def switch_on(self, request: HttpRequest, person: User) -> HttpResponse:
        """Let the person in again, with the earlier password and role."""
        if page := ask(request):
            return page
        people.switch_on(person)
        role = roles.display_name(people.role_of(person)) or say(
            "a person without a role, who sees nothing"
        )
        text = say("{name} is on again, as {role}.", name=people.display_name(person), role=role)
        self.message_user(request, text)
        return HttpResponseRedirect(self.home())

    def remove_second_factor(self, request: HttpRequest, person: User) -> HttpResponse | None:
        """Remove it for a person who lost phone and recovery codes. That person's sessions end."""
        if page := ask(request):
            return page
        if second_factor.remove(person):
            own = request if person.pk == request.user.pk else None
            sessions.end_all(person, but=own)
            sign_in_events.record(Act.SECOND_FACTOR_OFF, request, person)
            text = say(
                "{name} has no second factor anymore, and is signed out everywhere.",
                name=people.display_name(person),
            )
            self.message_user(request, text)
        return None

    def home(self) -> str:
        return reverse("admin:auth_user_changelist")

    def _shown(self, request: HttpRequest, thing: Any, buttons: Iterable[Button]) -> list[Button]:
        """Return the buttons, without "Switch off" on one's own row."""
        found = super()._shown(request, thing, buttons)
        return [one for one in found if one.name != "switch_off" or thing.pk != request.user.pk]

    @admin.display(description=_("Name"))
    def shown_name(self, person: User) -> SafeString:
        return badges.breakable(badges.brief(people.display_name(person)))

    @admin.display(description=_("E-mail"))
    def shown_email(self, person: User) -> SafeString:
        return badges.breakable(badges.brief(person.email or person.get_username()))

    @admin.display(description=_("Role"))
    def role(self, person: User) -> str | SafeString:
        return roles.display_name(people.role_of(person)) or badges.badge(
            say("No role"), badges.AMBER
        )

    @admin.display(description=_("Last sign-in"))
    def last_sign_in(self, person: User) -> SafeString:
        return times.ago(person.last_login, say("Never"))

    @admin.display(description=_("Second factor"))
    def by_code(self, person: Any) -> str | SafeString:
        on = badges.badge(pgettext("second factor", "On"), badges.GREEN)
        return on if person.has_factor else "–"

    @admin.display(description=_("State"))
    def state(self, person: User) -> SafeString:
        return badges.switch_badge(person.is_active)


# Django registered its own page, which shows every permission there is.
admin.site.unregister(User)
admin.site.register(User, People)
