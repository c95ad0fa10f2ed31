"""The names and signup fields sent for a person, and what to send if Thinkific refuses a part.

Thinkific does not document which names and values it accepts, and it reports what it refused in
many ways: by name, by a field's label or number, in a sentence, or not at all.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from integrations.errors import Refused
from integrations.sentences import say, separated
from integrations.thinkific.attempt import Person

# Thinkific does not document how long a name may be. A longer one is cut, not refused.
NAME_LENGTH = 100
# A name of plain letters, neither short nor long, with which nothing can be wrong.
NEUTRAL_NAME = "Student"
SHORTEST_PLAIN, LONGEST_PLAIN = 3, 30
# As given, without the blamed parts, without any fields, and with another name.
MAX_TRIES = 4

_EMAIL = re.compile(r"\be-?mail\b")
_EMAIL_FIELDS = {"email", "emailaddress", "useremail"}
_FIRST = re.compile(r"\bfirst[ _-]?name\b|\bfirstname\b")
_LAST = re.compile(r"\blast[ _-]?name\b|\bsurname\b")
_ANY_NAME = re.compile(r"\b(full[ _-]?)?name\b")
_IN_USE = re.compile(r"\b(taken|exists?|in use|used|already|registered|duplicate|unique)\b")
# These statuses say what is wrong with the content; others may concern the request as a whole.
_ABOUT_CONTENT = {400, 422}

Labels = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class RefusedParts:
    """The parts that a refusal blames: e-mail, names, signup fields by ID, or none of these."""

    email: bool = False
    first_name: bool = False
    last_name: bool = False
    fields: frozenset[int] = frozenset()

    @property
    def names(self) -> bool:
        return self.first_name or self.last_name


@dataclass(frozen=True, slots=True)
class Profile:
    """Names and signup fields {ID: value} as they are sent to create a student.

    `left_out` are the fields that Thinkific blamed, `notes` sentences about them, and
    `name_refused` what it said about the name before this one.
    """

    first_name: str
    last_name: str
    fields: Mapping[int, str]
    tries: int = 1
    left_out: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    name_refused: str = ""

    def mended(self, error: Refused, labels: Labels) -> "Profile | None":
        """Return what to send after a refusal, or None if nothing is left to change.

        The first time, only blamed fields are left out; after that, or if neither names nor fields
        are blamed, all of them. A name is replaced if it was blamed; also if nothing was blamed, no
        fields are left, and the name is not plain.
        """
        if self.tries == MAX_TRIES or error.status is None or error.status < 400:
            return None
        blame = blamed(error, labels)
        bad = blame.fields & self.fields.keys()
        told = blame.names or bool(bad)
        kept = {key: value for key, value in self.fields.items() if key not in bad}
        fields = kept if told and self.tries == 1 else {}
        first, last = self._renamed(error, blame, doubtful=not told and not self.fields)
        renamed = (first, last) != (self.first_name, self.last_name)
        if not renamed and fields == self.fields:
            return None
        return Profile(
            first,
            last,
            fields,
            self.tries + 1,
            self.left_out | bad,
            (*self.notes, *(not_taken(error, key, labels) for key in sorted(bad))),
            words_about(error, labels) if renamed else self.name_refused,
        )

    def _renamed(self, error: Refused, blame: RefusedParts, *, doubtful: bool) -> tuple[str, str]:
        def name(own: str, refused: bool) -> str:
            odd = self.name_refused or plain(own) != own
            return _another(own) if refused or (doubtful and odd) else own

        if error.status not in _ABOUT_CONTENT:
            return self.first_name, self.last_name
        return name(self.first_name, blame.first_name), name(self.last_name, blame.last_name)


def of_person(person: Person, fields: Mapping[int, str]) -> Profile:
    """Return the person's names and the fields. Missing names are filled in.

    Thinkific refuses blank names, and SamCart sends some customers without a name.
    """
    first = person.first_name or person.email.split("@", 1)[0]
    return Profile(first[:NAME_LENGTH], (person.last_name or "-")[:NAME_LENGTH], dict(fields))


def notes_on(sent: Profile, own: Profile) -> tuple[str, ...]:
    """Return sentences for the log about what was left out or changed."""
    if not sent.name_refused:
        return sent.notes
    return (
        *sent.notes,
        say(
            'Thinkific did not take the name "{name}" ({words}), so the student is called "{sent}" '
            "there. Change that in Thinkific if you like.",
            name=f"{own.first_name} {own.last_name}",
            words=sent.name_refused,
            sent=f"{sent.first_name} {sent.last_name}",
        ),
    )


def not_taken(error: Refused, key: int, labels: Labels) -> str:
    """Return a sentence about a signup field whose value was refused."""
    return say(
        "Thinkific did not take the signup field {field}: {words}.",
        field=labels[key],
        words=words_about(error, labels, key),
    )


def not_shown(labels: Iterable[str]) -> str:
    """Return a sentence about signup fields that were accepted but do not show."""
    return say(
        "Thinkific said that it took the signup fields ({fields}), but does not show them. "
        "Admit sends them again with this student's next purchase.",
        fields=separated(labels),
    )


def not_sent(error: Refused, labels: Iterable[str]) -> str:
    """Return a sentence about signup fields that were not sent, all for the same reason."""
    return say(
        "The signup fields were not sent ({fields}): {message}",
        fields=separated(labels),
        message=error.what,
    )


def others_not_sent(labels: Iterable[str]) -> str:
    """Return a sentence about signup fields for which no call was left."""
    return say("Other signup fields were not sent: {fields}.", fields=separated(labels))


def plain(name: str) -> str:
    """Return the name in plain Latin letters, or NEUTRAL_NAME if too few letters are left."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z]", "", letters)[:LONGEST_PLAIN]
    return kept if len(kept) >= SHORTEST_PLAIN else NEUTRAL_NAME


def _another(refused: str) -> str:
    """Return a name to send instead of one that was refused."""
    kept = plain(refused)
    return kept if kept != refused else NEUTRAL_NAME


def blamed(error: Refused, labels: Labels) -> RefusedParts:
    """Return the parts that the refusal's words blame. `labels` are of the signup fields sent."""
    found = [_about(detail.casefold(), labels) for detail in error.details]
    return RefusedParts(
        email=error.status == 409 or any(each.email for each in found),
        first_name=any(each.first_name for each in found),
        last_name=any(each.last_name for each in found),
        fields=frozenset().union(*(each.fields for each in found)),
    )


def email_in_use(error: Refused) -> bool:
    """Return whether a refusal that blames the e-mail says that it is in use."""
    return error.status == 409 or any(_IN_USE.search(each.casefold()) for each in error.details)


def words_about(error: Refused, labels: Labels, key: int | None = None) -> str:
    """Return Thinkific's words about this signup field, or else about all, without a period."""
    about = [each for each in error.details if key in _about(each.casefold(), labels).fields]
    said = about or list(error.details[:3])
    return "; ".join(said).rstrip(".") or say("it gave no reason")


def _about(detail: str, labels: Labels) -> RefusedParts:
    """Return the parts that a detail blames. A detail is "field: fault" or just a sentence."""
    field, colon, _ = detail.partition(": ")
    told = _named(field, labels, whole=True) if colon else RefusedParts()
    return told if told != RefusedParts() else _named(detail, labels, whole=False)


def _named(text: str, labels: Labels, *, whole: bool) -> RefusedParts:
    keys = frozenset(key for key, label in labels.items() if _mentions(text, key, label))
    if whole and re.sub(r"[\W_]", "", text) in _EMAIL_FIELDS:
        return RefusedParts(email=True, fields=keys)  # a signup field may have this label, too
    if keys:
        return RefusedParts(fields=keys)
    first, last = bool(_FIRST.search(text)), bool(_LAST.search(text))
    if first or last:
        return RefusedParts(first_name=first, last_name=last)
    if _EMAIL.search(text) or (text.startswith("user") and _IN_USE.search(text)):
        return RefusedParts(email=True)
    any_name = bool(_ANY_NAME.search(text))
    return RefusedParts(first_name=any_name, last_name=any_name)


def _mentions(text: str, key: int, label: str) -> bool:
    said = "|".join(re.escape(each) for each in (str(key), label.casefold()) if each)
    return re.search(rf"(?<!\w)(?:{said})(?!\w)", text) is not None
