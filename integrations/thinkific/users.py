"""Thinkific users: found by e-mail or created, never twice for one e-mail."""

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


def ensure(attempt: Attempt, fields: dict[int, str]) -> Steps[User]:
    """The customer's user, created when there is none.

    Creating first costs one call for a new buyer and finding first costs two; "taken"
    (422) then leads to the look-up. An open doubt or a look-up that is needed anyway
    goes first, so that no account is ever made twice. What Thinkific does not take of `fields`
    is left out of it.
    """
    if attempt.account is not None:
        return _of_account(attempt.account)
    # A remembered account that something was not found for is usually still there.
    held = attempt.in_doubt(USER) or attempt.former is not None
    if held or _written_in_two_ways(attempt.person):
        found = yield from look_up(attempt)
        if found is not None:
            return found
    return (yield from _create(attempt, fields, held=held))


def find(attempt: Attempt) -> Steps[User | None]:
    """The customer's user, from memory or by e-mail; None when the site has none."""
    if attempt.account is not None:
        return _of_account(attempt.account)
    return (yield from look_up(attempt))


def look_up(attempt: Attempt, *, certain: bool = True) -> Steps[User | None]:
    """The user whom the site has now under the customer's e-mail, whatever is remembered.

    With `certain` False none found does not end a doubt whether one was made.

    Whether `query[email]` matches parts, or minds capitals, is not documented: so each
    row is compared here, and the spelling that SamCart sent is tried too.
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
    """Send the signup fields that differ from what the site holds; names are never changed.

    Returns a sentence for each that Thinkific did not take. Those that it blames are left out;
    where it blames none they are sent one by one.
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
                # It would be the same for each of the fields.
                unsent = [labels[key] for each in (group, *groups) for key in each]
                return [*notes, profiles.not_sent(error, unsent)]
            bad = profiles.blamed(error, labels).fields & group.keys() or _only(group)
            notes += [profiles.not_taken(error, key, labels) for key in sorted(bad)]
            rest = {key: value for key, value in group.items() if key not in bad}
            groups += [rest] if bad and rest else [{key: value} for key, value in rest.items()]
            continue
        if not (yield from _took(account, group, answer)):
            notes.append(profiles.not_shown(labels[key] for key in group))
            continue
        known = {**known, **{str(key): value for key, value in group.items()}}
        attempt.remember(replace(account, fields=known))
    left = [labels[key] for group in groups for key in group]
    return [*notes, profiles.others_not_sent(left)] if left else notes


def _took(account: Account, group: Mapping[int, str], answer: Answer) -> Steps[bool]:
    """Whether the site holds these fields now.

    204 is the documented answer and is believed. Any other success is believed only when it shows
    the fields; where it does not, the user is read.
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
    """Whether the user was remembered and not seen on the site in this attempt."""
    return attempt.account is not None and not attempt.user_is_new and not attempt.looked_up


def _of_account(account: Account) -> User:
    return User(account.user_id, account.administrator)


def _create(attempt: Attempt, fields: dict[int, str], *, held: bool) -> Steps[User]:
    """Make the account, without what Thinkific refuses of names and signup fields.

    `held`: there may be an account already that Thinkific does not show yet.
    """
    own = profile = profiles.of_person(attempt.person, fields)
    asked = False
    while True:
        try:
            # A refusal is a definite answer, so another POST repeats nothing blindly.
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
    """Who has the e-mail that was refused; None when it was not refused for being in use."""
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
        # It was carried out, but did not tell the id: in doubt until the user was seen.
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
    """How the site may have written the e-mail: what is asked for, in this order."""
    sent = person.email_as_sent.strip()
    local, _, domain = person.email.rpartition("@")
    found = [person.email, sent]
    if _written_in_two_ways(person):
        found = [sent, f"{local}@{_readable(domain)}", person.email]
    return list(filter(None, dict.fromkeys(found)))


def _written_in_two_ways(person: Person) -> bool:
    """Whether the e-mail is not ASCII alone, so that the site may hold another spelling."""
    told = person.email + person.email_as_sent
    return not told.isascii() or "xn--" in person.email


def _readable(domain: str) -> str:
    """A domain without its punycode, as people write it."""
    try:
        return ".".join(map(decoded, domain.split(".")))
    except UnicodeError:
        return domain


def _labels(attempt: Attempt, fields: Mapping[int, str]) -> dict[int, str]:
    """The labels of these signup fields; the number of one whose label is not known."""
    return {key: attempt.labels.get(key, str(key)) for key in fields}


def _only(group: Mapping[int, str]) -> frozenset[int]:
    """What a refusal that blames nothing is about, where just one was sent."""
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
        # A field that is required at sign-up must not keep a paying customer out.
        "skip_custom_fields_validation": True,
    }
    if profile.fields:
        body["custom_profile_fields"] = _field_rows(profile.fields)
    return body
