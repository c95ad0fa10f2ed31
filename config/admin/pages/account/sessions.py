"""A person's sessions and recent sign-in events: one's own, or for owners anybody's."""

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from config.admin.parts.badges import brief
from config.admin.parts.confirm import ask
from config.admin.parts.page import Page, render
from config.staff import people, second_factor, sessions, sign_in_events
from integrations.audit import Act
from integrations.sentences import say
from integrations.who import OWNERS_ONLY

ALL = "all"


def own(request: HttpRequest) -> HttpResponse:
    """The signed-in person's own sessions."""
    return _page(request, people.signed_in(request))


def of_person(request: HttpRequest, person: int) -> HttpResponse:
    """The sessions of another person."""
    return _page(request, get_object_or_404(User, pk=person))


def _page(request: HttpRequest, person: User) -> HttpResponse:
    own = person.pk == request.user.pk
    name = brief(people.display_name(person))
    if request.method == "POST":
        return ask(request) or _end(request, person, own=own)
    return render(
        request,
        "admin/sessions.html",
        title=say("Sessions") if own else say("Sessions of {name}", name=name),
        person=person,
        name=name,
        own=own,
        sessions=sessions.open_of(person, request, by_code=second_factor.needed(person)),
        events=sign_in_events.latest(person),
        idle_hours=settings.SESSION_COOKIE_AGE // 3600,
        days=settings.SESSION_MAX_AGE // 86400,
    )


def _end(request: HttpRequest, person: User, *, own: bool) -> HttpResponse:
    """End one session, or all of them. Ending the one in use leads to sign-in."""
    asked = request.POST.get("end", "")
    here = own and asked in {ALL, sessions.number_of(request)}
    if asked == ALL:
        number = sessions.end_all(person, but=request)
        text = say("{name} is signed out everywhere.", name=people.display_name(person))
    elif here:
        number, text = 0, say("You are signed out.")
    else:
        number = int(sessions.end(person, asked))
        ended = say("That session has ended.")
        text = ended if number else say("That session had ended already.")
    if number or here:
        sign_in_events.record(Act.SESSIONS_ENDED, request, person)
    if here:
        auth.logout(request)
    messages.success(request, text)
    page = "admin:sessions" if own else "admin:person-sessions"
    return HttpResponseRedirect(reverse(page, args=[] if own else [person.pk]))


PAGES = [
    Page("sessions/", "sessions", own, ""),
    Page("people/<int:person>/sessions/", "person-sessions", of_person, OWNERS_ONLY),
]
