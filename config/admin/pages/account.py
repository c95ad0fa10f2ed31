"""My account: what a person sets for oneself."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from config.admin.parts.page import Page, render
from config.staff import people, preferences


def show(request: HttpRequest) -> HttpResponse:
    """The person's name and role, and the time zone of all times on the pages."""
    assert isinstance(request.user, User)
    chosen, fault = preferences.time_zone_of(request.user), ""
    if request.method == "POST":
        chosen = request.POST.get("time_zone", "")
        try:
            preferences.set_time_zone(request.user, chosen)
        except ValueError as error:
            fault = str(error)
        else:
            zone = chosen or settings.TIME_ZONE
            messages.success(request, f"Saved. Pages show you all times in {zone}.")
            return HttpResponseRedirect(reverse("admin:account"))
    return render(
        request,
        "admin/account.html",
        title="My account",
        person=request.user,
        role=people.role_of(request.user),
        zones=preferences.zones(),
        chosen=chosen,
        site_zone=settings.TIME_ZONE,
        now=timezone.now(),
        fault=fault,
    )


PAGES = [Page("account/", "account", show, "")]
