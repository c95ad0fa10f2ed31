"""Two people edit the same thing: the second to save sees what the other changed, and decides.

A form carries as OPENED the number of the newest audit entry and a digest of what was stored when
it was opened. A save goes on while the digest matches. Otherwise a page shows what others did
since, from the audit, with both values. It keeps what was typed, and its button saves that anyway.
"""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import sha256

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from config.admin.parts.differences import Difference, compared, differences
from config.admin.parts.page import render
from config.admin.parts.params import row_id
from integrations.audit import Subject
from integrations.audit_values import Values
from integrations.models import AuditEntry
from integrations.sentences import format_time, say
from integrations.who import shown_who

OPENED = "as_opened"
NOTHING: Values = {}
# How many entries of others are examined, and how many of them are shown.
MAX_ENTRIES, MAX_SHOWN = 200, 20
_NOT_KEPT = (OPENED, "csrfmiddlewaretoken")


@dataclass(frozen=True, slots=True)
class OtherEdit:
    """What somebody did meanwhile, as a sentence, and the values that this changed."""

    sentence: str
    differences: Sequence[Difference] = ()


def form_state(request: HttpRequest, stored: Values = NOTHING) -> str:
    """Return what a form for this carries. A form that is shown again keeps what it had."""
    return _carried(request) or new_form_state(stored)


def new_form_state(stored: Values = NOTHING) -> str:
    """Return what a form carries that is opened now."""
    newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return f"{newest}-{_digest(stored)}"


def is_unchanged(request: HttpRequest, stored: Values) -> bool:
    """Return whether the posted form showed what is stored; also true if the form carries nothing.

    Call it in a transaction that holds the row, so that nobody else saves it first.
    """
    carried = _carried(request)
    return not carried or carried.partition("-")[2] == _digest(stored)


def conflict_page(
    request: HttpRequest,
    subject: Model | Subject,
    stored: Values,
    mine: Values,
    *,
    again: Sequence[tuple[str, str]] = (),
) -> HttpResponse | None:
    """Return the page to answer with if somebody changed it since the form was opened, else None.

    `mine` is what would be saved. `again` are the (name, label) of secrets that were typed: they
    are not sent back, so the page asks for them.
    """
    if is_unchanged(request, stored):
        return None
    lines = compared(type(subject) if isinstance(subject, Model) else None, stored, mine)
    if not lines:
        return None
    about = subject if isinstance(subject, Subject) else Subject.of(subject)
    told = _told(request, about, {*stored})
    return page(request, told, lines, new_form_state(stored), again=again)


def page(
    request: HttpRequest,
    told: Sequence[OtherEdit],
    lines: Sequence[Difference],
    new: str,
    *,
    again: Sequence[tuple[str, str]] = (),
) -> HttpResponse:
    """Show what others did, and both values.

    Its form posts again, as if opened just now (`new`).
    """
    left_out = {*_NOT_KEPT, *(name for name, _ in again)}
    return render(
        request,
        "admin/edit_conflict.html",
        title=say("Changed by somebody else meanwhile"),
        told=told,
        lines=lines,
        kept=[(k, v) for k, vs in request.POST.lists() if k not in left_out for v in vs],
        opened=new,
        again=again,
    )


def entries_since(request: HttpRequest, **asked: str) -> QuerySet[AuditEntry]:
    """Return what was done since the form was opened to what these filters select, oldest first."""
    number = row_id(_carried(request).partition("-")[0])
    found = AuditEntry.objects.filter(pk__gt=number or 0, **asked)
    return found.order_by("pk") if number is not None else found.none()


def other_edit(entry: AuditEntry) -> OtherEdit:
    """Return an entry as the page shows it."""
    sentence = say(
        "{who} {did} on {moment}, after you opened this page.",
        who=shown_who(entry.who),
        did=entry.sentence,
        moment=format_time(entry.at),
    )
    # For a new or deleted row all of its values would be listed here.
    is_change = entry.before is not None and entry.after is not None
    return OtherEdit(sentence, differences(entry) if is_change else ())


def _told(request: HttpRequest, about: Subject, names: AbstractSet[str]) -> list[OtherEdit]:
    """Return who changed these values of the subject."""
    entries = entries_since(request, kind=about.kind, number=about.number)
    found = [each for each in entries[:MAX_ENTRIES] if names & {*(each.before or each.after or ())}]
    unknown = OtherEdit(say("It was changed after you opened this page."))
    return [other_edit(entry) for entry in found[-MAX_SHOWN:]] or [unknown]


def _carried(request: HttpRequest) -> str:
    """Return what the form carries. By GET too: a rule's page keeps its choices in the address."""
    return request.POST.get(OPENED) or request.GET.get(OPENED, "")


def _digest(stored: Values) -> str:
    written = json.dumps(stored, default=str, sort_keys=True)
    return sha256(written.encode()).hexdigest()[:16]
