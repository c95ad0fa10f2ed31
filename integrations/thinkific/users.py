"""Thinkific users: found by e-mail or created, never twice for one e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from integrations.errors import Refused, Retry
from integrations.models import Customer, ProfileField
from integrations.samcart.parser import normalize_email
from integrations.thinkific import profiles
from integrations.thinkific.client import Answer
from integrations.thinkific.session import Session

TARGET = "user"
# So many calls at most for the signup fields of one student, whatever is refused.
MAX_FILLS = 10
# These answers are about the student or the key, whatever was sent of the fields.
ABOUT_STUDENT = {401, 404}


@dataclass(frozen=True, slots=True)
class User:
    """A user of the site; `notes` are sentences for the log about how it was made."""

    id: int
    administrator: bool = False
    notes: tuple[str, ...] = ()


def ensure(session: Session, fields: dict[int, str]) -> User:
    """The customer's user, created when there is none.

    Creating first costs one call for a new buyer and finding first costs two; "taken"
    (422) then leads to the look-up. An open doubt or a look-up that is needed anyway
    goes first, so that no account is ever made twice. What Thinkific does not take of `fields`
    is left out of it.
    """
    if session.thinkific_user is not None:
        return _known(session)
    # A remembered account that something was not found for is usually still there.
    held = session.in_doubt(TARGET) or session.former is not None
    if held or _written_in_two_ways(_customer(session)):
        found = look_up(session)
        if found is not None:
            return found
    return _create(session, fields, held=held)


def find(session: Session) -> User | None:
    """The customer's user, from memory or by e-mail; None when the site has none."""
    return look_up(session) if session.thinkific_user is None else _known(session)


def look_up(session: Session, *, certain: bool = True) -> User | None:
    """The user whom the site has now under the customer's e-mail, whatever is remembered.

    With `certain` False none found does not end a doubt whether one was made.

    Whether `query[email]` matches parts, or minds capitals, is not documented: so each
    row is compared here, and the spelling that SamCart sent is tried too.
    """
    customer = _customer(session)
    for spelling in _spellings(customer):
        for row in session.pages("/users", {"query[email]": spelling}):
            if normalize_email(str(row.get("email", ""))) == customer.email:
                session.looked_up = True
                return _remember(session, row)
    if certain:
        session.settle(TARGET)
    return None


def fill(session: Session, fields: Mapping[int, str]) -> list[str]:
    """Send the signup fields that differ from what the site holds; names are never changed.

    Returns a sentence for each that Thinkific did not take. Those that it blames are left out;
    where it blames none they are sent one by one.
    """
    thinkific_user = session.thinkific_user
    known = thinkific_user.fields_known if thinkific_user else {}
    changed = {key: value for key, value in fields.items() if known.get(str(key)) != value}
    if thinkific_user is None or not changed:
        return []
    labels = _labels(session, changed)
    groups: list[dict[int, str]] = [changed]
    notes: list[str] = []
    for _ in range(MAX_FILLS):
        if not groups:
            break
        group = groups.pop(0)
        try:
            session.put(
                f"/users/{thinkific_user.user_id}", {"custom_profile_fields": _field_rows(group)}
            )
        except Refused as error:
            if error.status in ABOUT_STUDENT:
                # It would be the same for each of the fields.
                told = ", ".join(labels[key] for each in (group, *groups) for key in each)
                return [*notes, f"The signup fields were not sent ({told}): {error.message}"]
            bad = profiles.blamed(error, labels).fields & group.keys() or _only(group)
            notes += [profiles.not_taken(error, key, labels) for key in sorted(bad)]
            rest = {key: value for key, value in group.items() if key not in bad}
            groups += [rest] if bad and rest else [{key: value} for key, value in rest.items()]
            continue
        known = known | {str(key): value for key, value in group.items()}
        session.remember(
            thinkific_user.user_id, administrator=thinkific_user.administrator, fields=known
        )
    left = ", ".join(labels[key] for group in groups for key in group)
    return [*notes, f"Other signup fields were not sent: {left}."] if left else notes


def from_memory(session: Session) -> bool:
    """Whether the user was remembered and not seen on the site in this attempt."""
    return session.thinkific_user is not None and not session.user_is_new and not session.looked_up


def _known(session: Session) -> User:
    assert session.thinkific_user is not None
    return User(session.thinkific_user.user_id, session.thinkific_user.administrator)


def _customer(session: Session) -> Customer:
    assert session.customer is not None
    return session.customer


def _create(session: Session, fields: dict[int, str], *, held: bool) -> User:
    """Make the account, without what Thinkific refuses of names and signup fields.

    `held`: there may be an account already that Thinkific does not show yet.
    """
    own = profile = profiles.of_customer(_customer(session), fields)
    asked = False
    while True:
        try:
            # A refusal is a definite answer, so another POST repeats nothing blindly.
            answer = session.post("/users", _body(session, profile), target=TARGET, settle=False)
        except Refused as error:
            labels = _labels(session, fields)
            blame = profiles.blamed(error, labels)
            if blame.email and not asked:
                asked = True
                holder = _holder(session, error, held=held)
                if holder is not None:
                    return holder
            mended = (
                None
                if blame == profiles.RefusedParts(email=True)
                else profile.mended(error, labels)
            )
            if mended is None:
                raise
            profile = mended
            continue
        for key in profile.left_out:
            del fields[key]
        return _made(session, answer, profile.fields, profiles.notes_on(profile, own))


def _holder(session: Session, error: Refused, *, held: bool) -> User | None:
    """Who has the e-mail that was refused; None when it was not refused for being in use."""
    found = look_up(session)
    if found is not None or not profiles.email_in_use(error):
        return found
    if held:
        raise Retry(
            "Thinkific has a student with this e-mail, but does not show the student yet. "
            "Admit tries again by itself.",
            status=error.status,
            in_doubt=False,
        ) from error
    said = profiles.words_about(error, {}) if error.details else error.status
    raise Refused(
        f"Thinkific says that this e-mail is in use ({said}), but shows no student with it. "
        "Look for it under Support Your Students in Thinkific: if it is written with "
        "capitals there, change it to small letters. Then retry.",
        status=error.status,
        details=error.details,
        fields=error.fields,
    ) from error


def _made(
    session: Session, answer: Answer, fields: Mapping[int, str], notes: tuple[str, ...]
) -> User:
    row = answer.body
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        # It was carried out, but did not tell the id: in doubt until the user was seen.
        found = look_up(session, certain=False)
        if found is None:
            raise Retry(
                "Thinkific reported success, but shows no student with this e-mail; "
                "Admit looks again.",
                status=answer.status,
            )
        return replace(found, notes=notes)
    session.user_is_new = True
    user = _remember(session, row, {str(key): value for key, value in fields.items()})
    return replace(user, notes=notes)


def _spellings(customer: Customer) -> list[str]:
    """How the site may have written the e-mail: what is asked for, in this order."""
    sent = customer.email_as_sent.strip()
    local, _, domain = customer.email.rpartition("@")
    found = [customer.email, sent]
    if _written_in_two_ways(customer):
        found = [sent, f"{local}@{_readable(domain)}", customer.email]
    return list(filter(None, dict.fromkeys(found)))


def _written_in_two_ways(customer: Customer) -> bool:
    """Whether the e-mail has signs beyond ASCII, so that the site may hold another spelling."""
    told = customer.email + customer.email_as_sent
    return not told.isascii() or "xn--" in customer.email


def _readable(domain: str) -> str:
    """A domain without its punycode, as people write it."""
    try:
        return ".".join(
            label[4:].encode().decode("punycode") if label.startswith("xn--") else label
            for label in domain.split(".")
        )
    except UnicodeError:
        return domain


def _labels(session: Session, fields: Mapping[int, str]) -> dict[int, str]:
    """The labels of these signup fields, for Thinkific blames them by those."""
    rows = ProfileField.objects.filter(integration=session.integration, external_id__in=fields)
    return {key: str(key) for key in fields} | dict(rows.values_list("external_id", "label"))


def _only(group: Mapping[int, str]) -> frozenset[int]:
    """What a refusal that blames nothing is about, where just one was sent."""
    return frozenset(group) if len(group) == 1 else frozenset()


def _remember(session: Session, row: dict[str, Any], sent: dict[str, str] | None = None) -> User:
    administrator = "site_admin" in (row.get("roles") or [])
    fields = _fields_of(row) | (sent or {})
    session.remember(int(row["id"]), administrator=administrator, fields=fields)
    session.settle(TARGET)
    return User(int(row["id"]), administrator)


def _fields_of(row: dict[str, Any]) -> dict[str, str]:
    found = {}
    for entry in row.get("custom_profile_fields") or []:
        if isinstance(entry, dict) and entry.get("value") not in (None, ""):
            key = entry.get("custom_profile_field_definition_id", entry.get("id"))
            found[str(key)] = str(entry["value"])
    return found


def _field_rows(fields: Mapping[int, str]) -> list[dict[str, Any]]:
    return [
        {"custom_profile_field_definition_id": key, "value": value} for key, value in fields.items()
    ]


def _body(session: Session, profile: profiles.Profile) -> dict[str, Any]:
    body: dict[str, Any] = {
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "email": _customer(session).email,
        "send_welcome_email": session.integration.send_welcome_email,
        # A field that is required at sign-up must not keep a paying customer out.
        "skip_custom_fields_validation": True,
    }
    if profile.fields:
        body["custom_profile_fields"] = _field_rows(profile.fields)
    return body
