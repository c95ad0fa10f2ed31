"""What others changed since a moment: one line on the Overview, and the list that it leads to."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules.given.change_links import SEES
from config.admin.parts.badges import brief
from config.admin.parts.buttons import see_them
from config.staff import last_visit
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import MINUTE, format_day, format_number, say_count
from integrations.who import BY_COMMAND, NOT_SIGNED_IN, SAMCART, shown_who
from rules.listing import listed

# The parameter of the list's address that has the moment, in seconds since 1970.
SINCE = "others"
OF_SIGN_IN = (
    Act.SIGNED_IN,
    Act.SIGNED_OUT,
    Act.SIGN_IN_FAILED,
    Act.CONFIRM_FAILED,
    Act.SECOND_FACTOR_FAILED,
)
# Acts that change nothing.
LOOKS = (
    *OF_SIGN_IN,
    Act.ADDRESS_SHOWN,
    Act.COMPARED,
    Act.EXPORTED,
    Act.LIST_DOWNLOADED,
    Act.STUDENT_CHECKED,
)
# Up to how many entries are counted, and how many people are named.
MOST, NAMED = 500, 2


def by_others(
    entries: QuerySet[AuditEntry], request: HttpRequest, since: datetime
) -> QuerySet[AuditEntry]:
    """Return those of the entries by which another person changed something after this moment."""
    people = entries.exclude(who__in=[request.user.get_username(), NOT_SIGNED_IN, SAMCART])
    people = people.exclude(who__endswith=BY_COMMAND)
    return people.filter(at__gte=since).exclude(act__in=LOOKS)


def moment(asked: str | None) -> datetime | None:
    """Return the moment that an address names, None for anything else."""
    number = asked or ""
    if not (number.isascii() and number.isdecimal() and len(number) <= 10):
        return None
    return datetime.fromtimestamp(int(number), UTC)


def since_last_visit(request: HttpRequest) -> SafeString | str:
    """Note this look at the Overview. Return what others changed since the last visit, and a link.

    For example "Since your last visit on 26 Nov 14:02, Ben changed 3 things. See them". "" if
    nobody changed anything, or for a person who may not see Changes.
    """
    last = last_visit.note(request) if allowed(request, SEES) else None
    if last is None:
        return ""
    since = last.replace(microsecond=0)
    # In no order: the index of the moments then finds them, however few there are.
    entries = by_others(AuditEntry.objects.order_by(), request, since)
    found = list(entries.values_list("who", "step", "pk")[:MOST])
    if not found:
        return ""
    number = len({pk if step is None else -step for *_, step, pk in found})
    text = say_count(
        number,
        "Since your last visit on {when}, {who} changed 1 thing.",
        "Since your last visit on {when}, {who} changed {number} things.",
        number=format_number(number) + ("+" if len(found) == MOST else ""),
        when=format_day(since, MINUTE),
        who=listed(sorted({brief(shown_who(who)) for who, *_ in found}), NAMED),
    )
    asked = urlencode({SINCE: int(since.timestamp())})
    page = f"{reverse('admin:integrations_auditentry_changelist')}?{asked}"
    return format_html('{} <a href="{}">{}</a>', text, page, see_them(number))
