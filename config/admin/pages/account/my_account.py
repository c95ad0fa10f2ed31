"""My account: the signed-in person's own settings."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone, translation

from config.admin.parts.page import Page, render
from config.staff import people, preferences, roles
from config.staff.preferences import Preferences
from integrations.sentences import say


def show(request: HttpRequest) -> HttpResponse:
    """The person's name and role, the language and keys of the pages, and the zone of all times."""
    person = people.signed_in(request)
    chosen, fault = preferences.of(person), ""
    if request.method == "POST":
        chosen = Preferences(
            time_zone=request.POST.get("time_zone", ""),
            language=request.POST.get("language", ""),
            single_keys=request.POST.get("single_keys") != "off",
        )
        try:
            preferences.change(person, chosen)
        except ValueError as error:
            fault = str(error)
        else:
            return _saved(request, chosen)
    return render(
        request,
        "admin/account.html",
        title=say("My account"),
        person=person,
        role=roles.display_name(people.role_of(person)),
        zones=preferences.zones_by_region(),
        languages=settings.LANGUAGES,
        chosen=chosen,
        site_zone=preferences.readable(settings.TIME_ZONE),
        now=timezone.now(),
        fault=fault,
    )


def _saved(request: HttpRequest, chosen: Preferences) -> HttpResponse:
    """Confirm it in the language that was just chosen."""
    zone = preferences.readable(chosen.time_zone or settings.TIME_ZONE)
    with translation.override(chosen.language or translation.get_language()):
        messages.success(request, say("Saved. Pages show you all times in {zone}.", zone=zone))
    return HttpResponseRedirect(reverse("admin:account"))


PAGES = [Page("account/", "account", show, "")]
