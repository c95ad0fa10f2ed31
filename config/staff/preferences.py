"""How the signed-in person wants the pages: time zone, language, and keys."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from config.models import Preference
from integrations import audit
from integrations.audit import Act
from integrations.sentences import Text, say

GetResponse = Callable[[HttpRequest], HttpResponse]
READS = {"GET", "HEAD"}
# How the names of time zones begin.
REGIONS: dict[str, Text] = {
    "Africa": _("Africa"),
    "America": _("America"),
    "Antarctica": _("Antarctica"),
    "Arctic": _("Arctic"),
    "Asia": _("Asia"),
    "Atlantic": _("Atlantic Ocean"),
    "Australia": _("Australia"),
    "Europe": _("Europe"),
    "Indian": _("Indian Ocean"),
    "Pacific": _("Pacific Ocean"),
}
OTHERS = _("Other names")
# The attribute of a request that has the person's row, so that no page reads it again.
ROW = "preference"


@dataclass(frozen=True, slots=True)
class Preferences:
    """A time zone of `zones` and a code of LANGUAGES; "" stands for the default.

    The default time zone is that of the settings, the default language that of the browser. Without
    `single_keys` no key does anything by itself on a page: who dictates, or hits keys by accident,
    needs that (WCAG 2.1.4).
    """

    time_zone: str = ""
    language: str = ""
    single_keys: bool = True

    @property
    def zone(self) -> ZoneInfo | None:
        """The time zone, if one is chosen that this machine knows."""
        return ZoneInfo(self.time_zone) if self.time_zone in zones() else None


@cache
def zones() -> list[str]:
    """Return the names of all time zones that have a place, such as "Europe/Berlin", and UTC."""
    return sorted(name for name in available_timezones() if "/" in name or name == "UTC")


@cache
def _rules_of_zones() -> dict[str, ZoneInfo]:
    """Cached, because reading all of them takes longer than making a page."""
    return {zone: ZoneInfo(zone) for zone in zones()}


def readable(zone: str) -> str:
    """Return a zone's name for people: "America/Argentina/Buenos Aires"."""
    return zone.replace("_", " ")


def zones_by_region() -> dict[str, list[tuple[str, str]]]:
    """Return the zones by region: {"Europe": [("Europe/Berlin", "Berlin (UTC+1)"), …], …}.

    Each name ends in the offset that applies there now, as "UTC-3" or "UTC+5:30".
    """
    now = timezone.now()
    found: dict[str, list[tuple[str, str]]] = {
        str(name): [] for name in (*REGIONS.values(), OTHERS)
    }
    for zone in zones():
        region, place = zone.split("/", 1) if zone.partition("/")[0] in REGIONS else ("", zone)
        name = f"{readable(place).replace('/', ', ')} ({_offset(zone, now)})"
        found[str(REGIONS.get(region, OTHERS))].append((zone, name))
    return found


def _offset(zone: str, now: datetime) -> str:
    minutes = round((_rules_of_zones()[zone].utcoffset(now) or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")


def of(person: User) -> Preferences:
    """Return what the person chose."""
    return _chosen(_row(person))


def _chosen(row: Preference) -> Preferences:
    return Preferences(row.time_zone, row.language, row.single_keys)


def _row(person: User) -> Preference:
    """Return the person's row; a new one, not saved, if there is none."""
    return Preference.objects.filter(user=person).first() or Preference(user=person)


def language_of(person: User) -> str:
    """Return the code of the language in which to write to the person."""
    language = of(person).language
    return language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def change(person: User, chosen: Preferences) -> None:
    """Save the person's choice. Raises ValueError for a zone or language that is not known."""
    if chosen.time_zone and chosen.time_zone not in zones():
        name = chosen.time_zone[:60]
        raise ValueError(say("There is no time zone {name}. Choose one from the list.", name=name))
    if chosen.language and chosen.language not in dict(settings.LANGUAGES):
        name = chosen.language[:60]
        raise ValueError(say("There is no language {name}. Choose one from the list.", name=name))
    with transaction.atomic():
        before, after = asdict(of(person)), asdict(chosen)
        Preference.objects.update_or_create(user=person, defaults=after)
        changed = [name for name in after if after[name] != before[name]]
        if changed:
            audit.record(
                Act.PERSON_CHANGED,
                person,
                before={name.replace("_", " "): before[name] for name in changed},
                after={name.replace("_", " "): after[name] for name in changed},
            )


def use(get_response: GetResponse) -> GetResponse:
    """Middleware by which a signed-in person gets pages in the chosen language and time zone.

    The time zone applies to reading alone: a day that a form sends is a day in TIME_ZONE. Without a
    choice the language stays the one that LocaleMiddleware found. It stays active after the answer,
    for what is streamed.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        row = _row(request.user) if isinstance(request.user, User) else Preference()
        chosen = _chosen(row)
        setattr(request, ROW, row)
        if chosen.language in dict(settings.LANGUAGES):
            translation.activate(chosen.language)
        with timezone.override(chosen.zone if request.method in READS else None):
            return get_response(request)

    return answer
