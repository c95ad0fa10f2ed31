"""Thinkific users: found by e-mail or created, never twice for one e-mail."""

from dataclasses import dataclass
from typing import Any

from integrations.errors import Refused, Retry
from integrations.models import Customer
from integrations.samcart.payload import normalise_email
from integrations.thinkific.visit import Visit

TARGET = "user"
# Thinkific does not tell how long a name may be; a longer one is cut, not refused.
NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class User:
    """A user of the site; `notes` are sentences for the log about how it was made."""

    id: int
    administrator: bool = False
    notes: tuple[str, ...] = ()


def ensure(visit: Visit, fields: dict[int, str]) -> User:
    """The customer's user, created when there is none.

    Creating first costs one call for a new buyer and finding first costs two; "taken"
    (422) then leads to the look-up. An open doubt or a look-up that is needed anyway
    goes first, so that no account is ever made twice.
    """
    if visit.learner is not None:
        return _known(visit)
    if visit.in_doubt(TARGET):
        found = look_up(visit)
        if found is not None:
            return found
    try:
        return _create(visit, fields)
    except Refused as error:
        if not _taken(error):
            raise
    found = look_up(visit)
    if found is None:
        raise Refused(
            "Thinkific says that this e-mail is taken, but shows no student with it. "
            "Look for it under Support Your Students in Thinkific: if it is written with "
            "capitals there, change it to small letters. Then retry.",
            status=422,
        )
    return found


def find(visit: Visit) -> User | None:
    """The customer's user, from memory or by e-mail; None when the site has none."""
    return look_up(visit) if visit.learner is None else _known(visit)


def look_up(visit: Visit) -> User | None:
    """The user whom the site has now under the customer's e-mail, whatever is remembered.

    Whether `query[email]` matches parts, or minds capitals, is not documented: so each
    row is compared here, and the spelling that SamCart sent is tried too.
    """
    customer = _customer(visit)
    spellings = dict.fromkeys((customer.email, customer.email_as_sent.strip()))
    for spelling in filter(None, spellings):
        for row in visit.pages("/users", {"query[email]": spelling}):
            if normalise_email(str(row.get("email", ""))) == customer.email:
                visit.looked_up = True
                return _remember(visit, row)
    visit.settle(TARGET)
    return None


def fill(visit: Visit, fields: dict[int, str]) -> None:
    """Send the signup fields that differ from what the site holds; names are never changed."""
    learner = visit.learner
    if learner is None:
        return
    known = learner.fields_known
    changed = {key: value for key, value in fields.items() if known.get(str(key)) != value}
    if not changed:
        return
    visit.put(f"/users/{learner.user_id}", {"custom_profile_fields": _field_rows(changed)})
    visit.remember(
        learner.user_id,
        administrator=learner.administrator,
        fields=known | {str(key): value for key, value in changed.items()},
    )


def from_memory(visit: Visit) -> bool:
    """Whether the user was remembered and not seen on the site in this attempt."""
    return visit.learner is not None and not visit.user_is_new and not visit.looked_up


def forget_gone(visit: Visit, error: Refused) -> bool:
    """Whether a refusal was due to a remembered user that is gone; it is forgotten then."""
    if not from_memory(visit):
        return False
    gone = error.says("user could not be found")
    if not gone and error.status == 404:
        # It may as well mean the course or bundle; a look-up tells which.
        remembered, found = _known(visit), look_up(visit)
        if found is not None:
            return found.id != remembered.id
        gone = True
    if gone:
        visit.forget()
    return gone


def _known(visit: Visit) -> User:
    assert visit.learner is not None
    return User(visit.learner.user_id, visit.learner.administrator)


def _customer(visit: Visit) -> Customer:
    assert visit.customer is not None
    return visit.customer


def _create(visit: Visit, fields: dict[int, str]) -> User:
    notes: tuple[str, ...] = ()
    try:
        answer = visit.post("/users", _body(visit, fields), target=TARGET, settle=False)
    except Refused as error:
        if not fields or "email" in error.fields or _taken(error):
            raise
        # Refused is a definite answer, so a second POST repeats nothing blindly.
        answer = visit.post("/users", _body(visit, {}), target=TARGET, settle=False)
        notes = (f"Thinkific did not take the signup fields: {error.message}",)
        fields.clear()
    row = answer.body
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        # It was carried out, but did not tell the id: in doubt until the user was seen.
        found = look_up(visit)
        if found is None:
            raise Retry(
                "Thinkific created the student but did not say which one; Admit looks again.",
                status=answer.status,
            )
        return found
    visit.user_is_new = True
    user = _remember(visit, row, {str(key): value for key, value in fields.items()})
    return User(user.id, user.administrator, notes)


def _taken(error: Refused) -> bool:
    """Whether another user has this e-mail; the words are the vendor's, in whichever shape."""
    return error.says("email") and error.says("taken")


def _remember(visit: Visit, row: dict[str, Any], sent: dict[str, str] | None = None) -> User:
    administrator = "site_admin" in (row.get("roles") or [])
    fields = _fields_of(row) | (sent or {})
    visit.remember(int(row["id"]), administrator=administrator, fields=fields)
    visit.settle(TARGET)
    return User(int(row["id"]), administrator)


def _fields_of(row: dict[str, Any]) -> dict[str, str]:
    found = {}
    for entry in row.get("custom_profile_fields") or []:
        if isinstance(entry, dict) and entry.get("value") not in (None, ""):
            key = entry.get("custom_profile_field_definition_id", entry.get("id"))
            found[str(key)] = str(entry["value"])
    return found


def _field_rows(fields: dict[int, str]) -> list[dict[str, Any]]:
    return [
        {"custom_profile_field_definition_id": key, "value": value} for key, value in fields.items()
    ]


def _body(visit: Visit, fields: dict[int, str]) -> dict[str, Any]:
    customer = _customer(visit)
    # Thinkific refuses blank names, and SamCart sends some buyers without any.
    first = customer.first_name or customer.email.split("@", 1)[0]
    body: dict[str, Any] = {
        "first_name": first[:NAME_LENGTH],
        "last_name": (customer.last_name or "-")[:NAME_LENGTH],
        "email": customer.email,
        "send_welcome_email": visit.integration.send_welcome_email,
        # A field that is required at sign-up must not keep a paying customer out.
        "skip_custom_fields_validation": True,
    }
    if fields:
        body["custom_profile_fields"] = _field_rows(fields)
    return body
