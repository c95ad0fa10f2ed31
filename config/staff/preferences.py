"""How the signed-in person wants the pages: in which time zone."""

from collections.abc import Callable
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from config.models import Preference
from integrations import audit
from integrations.audit import Act

GetResponse = Callable[[HttpRequest], HttpResponse]
READS = {"GET", "HEAD"}


@cache
def zones() -> list[str]:
    """The names of all time zones that have a place: "Europe/Berlin", and UTC."""
    return sorted(name for name in available_timezones() if "/" in name or name == "UTC")


def time_zone_of(person: User) -> str:
    """The name of the person's time zone, "" for that of the settings."""
    chosen = Preference.objects.filter(user=person).values_list("time_zone", flat=True).first()
    return chosen or ""


def set_time_zone(person: User, name: str) -> None:
    """Show this person all times in this zone; "" is that of the settings.

    Raises ValueError for a zone that does not exist.
    """
    if name and name not in zones():
        raise ValueError(f"There is no time zone {name[:60]}. Choose one from the list.")
    with transaction.atomic():
        before = time_zone_of(person)
        Preference.objects.update_or_create(user=person, defaults={"time_zone": name})
        if before != name:
            audit.record(
                Act.PERSON_CHANGED,
                person,
                before={"time zone": before},
                after={"time zone": name},
            )


def use_time_zone(get_response: GetResponse) -> GetResponse:
    """Middleware by which pages show times in the zone of the signed-in person.

    Only what reads: a day that a form means, and sentences that are kept, are in TIME_ZONE.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        name = ""
        if request.method in READS and isinstance(request.user, User):
            name = time_zone_of(request.user)
        with timezone.override(ZoneInfo(name) if name and name in zones() else None):
            return get_response(request)

    return answer
