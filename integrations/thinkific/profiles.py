"""What is sent of a person, and what is left of it when Thinkific refuses a part.

Thinkific does not say which names and values it takes, and reports what it refused in many shapes:
by name, by a field's label or number, in a sentence, or not at all.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from integrations.errors import Refused
from integrations.sentences import say
from integrations.thinkific.attempt import Person

# Thinkific does not tell how long a name may be; a longer one is cut, not refused.
NAME_LENGTH = 100
# A name of letters alone, neither short nor long: nothing can be wrong with it.
NEUTRAL_NAME = "Student"
SHORTEST_PLAIN, LONGEST_PLAIN = 3, 30
# As it is, without what was blamed, without all fields, and under another name.
MAX_TRIES = 4

_EMAIL = re.compile(r"\be-?mail\b")
_EMAIL_FIELDS = {"email", "emailaddress", "useremail"}
_FIRST = re.compile(r"\bfirst[ _-]?name\b|\bfirstname\b")
_LAST = re.compile(r"\blast[ _-]?name\b|\bsurname\b")
_ANY_NAME = re.compile(r"\b(full[ _-]?)?name\b")
_IN_USE = re.compile(r"\b(taken|exists?|in use|used|already|registered|duplicate|unique)\b")
# These say what is wrong with what was sent; others may be about the request as a whole.
_ABOUT_CONTENT = {400, 422}

Labels = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class RefusedParts:
    """What a refusal is about: the e-mail, names, signup fields by number; nothing if unsaid."""

    email: bool = False
    first_name: bool = False
    last_name: bool = False
    fields: frozenset[int] = frozenset()

    @property
    def names(self) -> bool:
        return self.first_name or self.last_name


@dataclass(frozen=True, slots=True)
class Profile:
    """Names and signup fields {id: value} as they are sent to create a student.

    `left_out` are the fields that Thinkific blamed, `notes` its words about them, and
    `name_refused` what it said of the name before this one.
    """

    first_name: str
    last_name: str
    fields: Mapping[int, str]
    tries: int = 1
    left_out: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    name_refused: str = ""

    def mended(self, error: Refused, labels: Labels) -> "Profile | None":
        """What to send after a refusal; None when nothing that may be wrong is left to change.

        The first time only the fields that were blamed are left out, after that all of them. A
        name is replaced when it was blamed, or when nothing was and it is no plain name.
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
    """The person's own names. Thinkific refuses blank ones, and SamCart sends some without."""
    first = person.first_name or person.email.split("@", 1)[0]
    return Profile(first[:NAME_LENGTH], (person.last_name or "-")[:NAME_LENGTH], dict(fields))


def notes_on(sent: Profile, own: Profile) -> tuple[str, ...]:
    """Sentences about what was left out or changed, for the log."""
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
    """A sentence about a signup field whose value was refused."""
    return say(
        "Thinkific did not take the signup field {field}: {words}.",
        field=labels[key],
        words=words_about(error, labels, key),
    )


def not_shown(labels: Iterable[str]) -> str:
    """A sentence about signup fields that were taken, and are not to be seen."""
    return say(
        "Thinkific said that it took the signup fields ({fields}), but does not show them. "
        "Admit sends them again with this student's next purchase.",
        fields=", ".join(labels),
    )


def not_sent(error: Refused, labels: Iterable[str]) -> str:
    """A sentence about signup fields that were not sent for one reason."""
    return say(
        "The signup fields were not sent ({fields}): {message}",
        fields=", ".join(labels),
        message=error.message,
    )


def others_not_sent(labels: Iterable[str]) -> str:
    """A sentence about signup fields for which no attempt was left."""
    return say("Other signup fields were not sent: {fields}.", fields=", ".join(labels))


def plain(name: str) -> str:
    """The name in letters of the Latin alphabet, or another where too few are left of it."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z]", "", letters)[:LONGEST_PLAIN]
    return kept if len(kept) >= SHORTEST_PLAIN else NEUTRAL_NAME


def _another(refused: str) -> str:
    """A name to send in place of one that was refused."""
    kept = plain(refused)
    return kept if kept != refused else NEUTRAL_NAME


def blamed(error: Refused, labels: Labels) -> RefusedParts:
    """What the refusal's words are about; `labels` are those of the signup fields sent."""
    found = [_about(detail.casefold(), labels) for detail in error.details]
    return RefusedParts(
        email=error.status == 409 or any(each.email for each in found),
        first_name=any(each.first_name for each in found),
        last_name=any(each.last_name for each in found),
        fields=frozenset().union(*(each.fields for each in found)),
    )


def email_in_use(error: Refused) -> bool:
    """Whether a refusal that is about the e-mail says that another user has it."""
    return error.status == 409 or any(_IN_USE.search(each.casefold()) for each in error.details)


def words_about(error: Refused, labels: Labels, key: int | None = None) -> str:
    """Thinkific's own words about this signup field, or all that it said, without a full stop."""
    about = [each for each in error.details if key in _about(each.casefold(), labels).fields]
    said = about or list(error.details[:3])
    return "; ".join(said).rstrip(".") or say("it gave no reason")


def _about(detail: str, labels: Labels) -> RefusedParts:
    """A detail is "field: fault", or a sentence alone."""
    field, colon, _ = detail.partition(": ")
    told = _named(field, labels, whole=True) if colon else RefusedParts()
    return told if told != RefusedParts() else _named(detail, labels, whole=False)


def _named(text: str, labels: Labels, *, whole: bool) -> RefusedParts:
    keys = frozenset(key for key, label in labels.items() if _mentions(text, key, label))
    if whole and re.sub(r"[\W_]", "", text) in _EMAIL_FIELDS:
        return RefusedParts(email=True, fields=keys)  # a signup field may be called so as well
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
