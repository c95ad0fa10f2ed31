"""Find Thinkific users by e-mail or create them, never two for one e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from integrations.errors import Refused, Retry
from integrations.samcart.parser import normalize_email
from integrations.samcart.readable import decoded
from integrations.sentences import say
from integrations.thinkific import calls, profiles
from integrations.thinkific.answers import Answer
from integrations.thinkific.attempt import USER, Account, Attempt, Person
from integrations.thinkific.calls import Get, Post, Put, Row, Steps

# The most calls for one student's signup fields, whatever is refused.
MAX_FILLS = 10
# These statuses concern the student or the key: the answer would be the same for any other field.
ABOUT_STUDENT = {401, 404}


@dataclass(frozen=True, slots=True)
class User:
    """A user of the site. `notes` are sentences for the log about how it was created."""

    id: int
    administrator: bool = False
    notes: tuple[str, ...] = ()


def ensure(attempt: Attempt, fields: dict[int, str]) -> Steps[User]:
    """Return the customer's user, creating it if there is none.

    Creating comes first: that takes one call for a new buyer, while finding first would take two.
    If the e-mail is taken (422), the user is looked up. The lookup comes first if a doubt is open
    or the site may spell the e-mail differently, so that no account is created twice. Removes from
    `fields` those that Thinkific refuses.
    """
    if attempt.account is not None:
        return _of_account(attempt.account)
    # An account was set aside because something was not found; it usually still exists.
    held = attempt.in_doubt(USER) or attempt.former is not None
    if held or _written_in_two_ways(attempt.person):
        found = yield from look_up(attempt)
        if found is not None:
            return found
    return (yield from _create(attempt, fields, held=held))


def find(attempt: Attempt) -> Steps[User | None]:
    """Return the customer's user from memory or by e-mail, or None if the site has none."""
    if attempt.account is not None:
        return _of_account(attempt.account)
    return (yield from look_up(attempt))


def look_up(attempt: Attempt, *, certain: bool = True) -> Steps[User | None]:
    """Return the user that the site has now under the customer's e-mail, ignoring the memory.

    If none is found, a doubt whether one was created ends, unless `certain` is False.

    It is not documented whether `query[email]` matches parts or ignores case, so each row is
    compared here, and the spelling that SamCart sent is tried, too.
    """
    person = attempt.person

    def theirs(row: Row) -> bool:
        return normalize_email(str(row.get("email", ""))) == person.email

    for spelling in _spellings(person):
        rows = yield from calls.rows("/users", {"query[email]": spelling}, until=theirs)
        if rows and theirs(rows[-1]):
            attempt.looked_up = True
            return _remember(attempt, rows[-1])
    if certain:
        attempt.settle(USER)
    return None


def fill(attempt: Attempt, fields: Mapping[int, str]) -> Steps[list[str]]:
    """Send the signup fields that differ from what the site has. Names are never changed.

    Returns sentences about fields that Thinkific did not take. Fields that it blames are left out;
    if it blames none, the fields are sent one by one.
    """
    account = attempt.account
    known = account.fields if account else {}
    changed = {key: value for key, value in fields.items() if known.get(str(key)) != value}
    if account is None or not changed:
        return []
    labels = _labels(attempt, changed)
    groups: list[dict[int, str]] = [changed]
    notes: list[str] = []
    for _ in range(MAX_FILLS):
        if not groups:
            break
        group = groups.pop(0)
        try:
            sent = {"custom_profile_fields": _field_rows(group)}
            answer = yield Put(f"/users/{account.user_id}", sent)
        except Refused as error:
            if error.status in ABOUT_STUDENT:
                unsent = [labels[key] for each in (group, *groups) for key in each]
                return [*notes, profiles.not_sent(error, unsent)]
            bad = profiles.blamed(error, labels).fields & group.keys() or _only(group)
            notes += [profiles.not_taken(error, key, labels) for key in sorted(bad)]
            rest = {key: value for key, value in group.items() if key not in bad}
            if not bad:  # any of them may be the one that was refused
                groups += [{key: value} for key, value in rest.items()]
            elif rest:
                groups.append(rest)
            continue
        if not (yield from _took(account, group, answer)):
            notes.append(profiles.not_shown(labels[key] for key in group))
            continue
        known = {**known, **{str(key): value for key, value in group.items()}}
        attempt.remember(replace(account, fields=known))
    left = [labels[key] for group in groups for key in group]
    return [*notes, profiles.others_not_sent(left)] if left else notes


def _took(account: Account, group: Mapping[int, str], answer: Answer) -> Steps[bool]:
    """Return whether the site has these fields now.

    204 is the documented answer and is believed. Any other success must show the fields; if it does
    not show the user, the user is read.
    """
    if answer.status == 204:
        return True
    wanted = {str(key): value for key, value in group.items()}.items()
    shown = answer.body
    if isinstance(shown, dict) and shown.get("id") == account.user_id:
        return wanted <= _fields_of(shown).items()
    row = (yield Get(f"/users/{account.user_id}")).body
    return isinstance(row, dict) and wanted <= _fields_of(row).items()


def from_memory(attempt: Attempt) -> bool:
    """Return whether the user is remembered but was not seen on the site in this attempt."""
    return attempt.account is not None and not attempt.user_is_new and not attempt.looked_up


def _of_account(account: Account) -> User:
    return User(account.user_id, account.administrator)


def _create(attempt: Attempt, fields: dict[int, str], *, held: bool) -> Steps[User]:
    """Create the account, without the names and signup fields that Thinkific refuses.

    `held`: an account may exist already that Thinkific does not show yet.
    """
    own = profile = profiles.of_person(attempt.person, fields)
    asked = False
    while True:
        try:
            # A refusal is a definite answer, so the next POST cannot create a second account.
            answer = yield Post("/users", _body(attempt, profile), USER)
        except Refused as error:
            labels = _labels(attempt, fields)
            blame = profiles.blamed(error, labels)
            if blame.email and not asked:
                asked = True
                holder = yield from _holder(attempt, error, held=held)
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
        notes = profiles.notes_on(profile, own)
        return (yield from _made(attempt, answer, profile.fields, notes))


def _holder(attempt: Attempt, error: Refused, *, held: bool) -> Steps[User | None]:
    """Return the user who has the refused e-mail, or None if it was refused for another reason.

    Raises Retry or Refused if the e-mail is in use but no user is shown.
    """
    found = yield from look_up(attempt)
    if found is not None or not profiles.email_in_use(error):
        return found
    if held:
        raise Retry(
            say("Thinkific has a student with this e-mail, but does not show the student yet."),
            status=error.status,
            code="student_not_shown",
            in_doubt=False,
        ) from error
    said = profiles.words_about(error, {}) if error.details else str(error.status)
    raise Refused(
        say(
            "Thinkific says that this e-mail is in use ({words}), but shows no student with it. "
            "Look for it under Support Your Students in Thinkific: if it is written with "
            "capitals there, change it to small letters. Then retry.",
            words=said,
        ),
        status=error.status,
        code="email_in_use",
        details=error.details,
        fields=error.fields,
    ) from error


def _made(
    attempt: Attempt, answer: Answer, fields: Mapping[int, str], notes: tuple[str, ...]
) -> Steps[User]:
    row = answer.body
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        # It was carried out, but the answer has no ID: in doubt until the user is seen.
        found = yield from look_up(attempt, certain=False)
        if found is None:
            raise Retry(
                say("Thinkific reported success, but shows no student with this e-mail."),
                status=answer.status,
                code="student_not_shown",
            )
        return replace(found, notes=notes)
    attempt.user_is_new = True
    user = _remember(attempt, row, {str(key): value for key, value in fields.items()})
    return replace(user, notes=notes)


def _spellings(person: Person) -> list[str]:
    """Return the ways in which the site may write the e-mail, in the order to ask for them."""
    sent = person.email_as_sent.strip()
    local, _, domain = person.email.rpartition("@")
    found = [person.email, sent]
    if _written_in_two_ways(person):
        found = [sent, f"{local}@{_readable(domain)}", person.email]
    return list(filter(None, dict.fromkeys(found)))


def _written_in_two_ways(person: Person) -> bool:
    """Return whether the e-mail is not plain ASCII, so that the site may use another spelling."""
    told = person.email + person.email_as_sent
    return not told.isascii() or "xn--" in person.email


def _readable(domain: str) -> str:
    """Return a domain without punycode, as people write it."""
    try:
        return ".".join(map(decoded, domain.split(".")))
    except UnicodeError:
        return domain


def _labels(attempt: Attempt, fields: Mapping[int, str]) -> dict[int, str]:
    """Return the labels of these signup fields, or the ID where the label is not known."""
    return {key: attempt.labels.get(key, str(key)) for key in fields}


def _only(group: Mapping[int, str]) -> frozenset[int]:
    """Return the field that a refusal without blame is about, if only one was sent."""
    return frozenset(group) if len(group) == 1 else frozenset()


def _remember(attempt: Attempt, row: Row, sent: Mapping[str, str] | None = None) -> User:
    administrator = "site_admin" in (row.get("roles") or [])
    account = Account(int(row["id"]), administrator, _fields_of(row) | dict(sent or {}))
    attempt.remember(account)
    attempt.settle(USER)
    return _of_account(account)


def _fields_of(row: Row) -> dict[str, str]:
    found = {}
    for entry in row.get("custom_profile_fields") or []:
        if isinstance(entry, dict) and entry.get("value") not in (None, ""):
            key = entry.get("custom_profile_field_definition_id", entry.get("id"))
            found[str(key)] = str(entry["value"])
    return found


def _field_rows(fields: Mapping[int, str]) -> list[Row]:
    return [
        {"custom_profile_field_definition_id": key, "value": value} for key, value in fields.items()
    ]


def _body(attempt: Attempt, profile: profiles.Profile) -> Row:
    body: Row = {
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "email": attempt.person.email,
        "send_welcome_email": attempt.send_welcome_email,
        # A required signup field must not keep a paying customer out.
        "skip_custom_fields_validation": True,
    }
    if profile.fields:
        body["custom_profile_fields"] = _field_rows(profile.fields)
    return body
