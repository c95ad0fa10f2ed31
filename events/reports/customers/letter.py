"""The template of the letter to a customer: its language, its fields, and how they are filled.

The whole letter is in the language of its template, no matter who reads the page.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from events.models import LetterTemplate
from integrations.sentences import Said, Text, joined, say
from rules.listing import listed

# {key: (the field's name in a template, what it stands for)}. In English the name is the key.
FIELDS: dict[str, tuple[Text, Text]] = {
    "first name": (_("first name"), _("The customer's first name, or a word in its place")),
    "email": (_("email"), _("The customer's e-mail address")),
    "course": (_("course"), _("The courses that the letter is about")),
    "school": (_("school"), _("The name of the school, which is that of its integration")),
    "what happened": (
        _("what happened"),
        _("What Admit knows: what opens and how to sign in, what ended, what is missing"),
    ),
}
EXAMPLE: dict[str, Text] = {
    "first name": "Dana",
    "email": "dana@example.com",
    "course": _("Watercolor for Beginners"),
    "school": _("Art Academy"),
}
LONGEST = 5000
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with fields, and the language of what is filled in."""

    text: str
    language: str


def current() -> Template:
    """Return the template in use: the owner's, or ours in the language of the settings."""
    row = LetterTemplate.objects.filter(pk=LetterTemplate.ONLY).first()
    # One that a later version had, and this one has not, is not an error on each customer's page.
    known = row is not None and row.language in dict(settings.LANGUAGES)
    language = row.language if row and known else settings.LANGUAGE_CODE
    return Template((row.text if row else "") or default_text(language), language)


@contextmanager
def written_in(language: str) -> Iterator[None]:
    """Within this context sentences are in this language and in the time zone of the settings."""
    with timezone.override(None), translation.override(language):
        yield


def default_text(language: str) -> str:
    """Return our own text, which is used until the owner writes one."""
    with translation.override(language):
        names = {key.replace(" ", "_"): f"{{{name}}}" for key, (name, _what) in FIELDS.items()}
        return say(
            "Hi {first_name},\n\n{what_happened}\n\n"
            "If anything is not as you expect, just reply to this e-mail.\n\n"
            "Kind regards,\n{school}",
            **names,
        )


def is_default(text: str) -> bool:
    """Whether this is our text, in any language."""
    return any(clean(text) == default_text(code) for code, _name in settings.LANGUAGES)


def fields(language: str) -> list[tuple[str, Text]]:
    """Return ("{first name}", what it stands for) for each field, named in this language."""
    with translation.override(language):
        written = [f"{{{name}}}" for name, _what in FIELDS.values()]
    return list(zip(written, (what for _name, what in FIELDS.values()), strict=True))


def example(language: str) -> dict[str, str]:
    """Return the values for a sample letter in this language, to an invented customer."""
    with written_in(language):
        values = {key: str(value) for key, value in EXAMPLE.items()}
        happened = opens([values["course"]], "art-academy", values["email"])
    return values | {"what happened": happened}


def opens(courses: Sequence[str], site: str, email: str) -> Said:
    """Say what opens now at a Thinkific site, and how to get in."""
    return say(
        "You have access to {courses}. Please sign in at https://{site}.thinkific.com with "
        '{email}. If you have no password yet, or forgot it, press "Forgot password?" there.',
        courses=listed(courses),
        site=site,
        email=email,
    )


def opens_if_right(courses: Sequence[str], site: str, email: str) -> Said:
    """Say what opens now, and ask whether the e-mail is right: a new password goes only there."""
    return say(
        "You have access to {courses} with the e-mail address {email}. Please check this address. "
        "If it is wrong, tell us the right one. If it is right, sign in with it at "
        "https://{site}.thinkific.com.",
        courses=listed(courses),
        site=site,
        email=email,
    )


def check(template: Template) -> None:
    """Raise ValueError with a sentence if the template cannot be used."""
    text, language = template.text, template.language
    if language not in dict(settings.LANGUAGES):
        name = language[:60]
        raise ValueError(say("There is no language {name}. Choose one from the list.", name=name))
    if not text.strip():
        raise ValueError(say("The letter is empty. Write a text, or go back to Admit's letter."))
    if len(text) > LONGEST:
        raise ValueError(
            say("The letter is longer than {most} characters. Shorten it.", most=LONGEST)
        )
    known, shown = _known(), ", ".join(field for field, _what in fields(language))
    for name in _FIELD.findall(text):
        if _plain(name) not in known:
            raise ValueError(_no_field(name, shown))
    if "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise ValueError(
            say(
                "A curly bracket is missing, or there is one too many. A field looks like one of "
                "{fields}.",
                fields=shown,
            )
        )


def _no_field(name: str, shown: str) -> Said:
    said = [say("There is no field {field}.", field=f"{{{name[:60]}}}")]
    if near := get_close_matches(_plain(name), _known(), n=1):
        said.append(say("Did you mean {field}?", field=f"{{{near[0]}}}"))
    return joined([*said, say("The fields are {fields}.", fields=shown)])


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its fields filled in. A field without a value is removed.

    Braces in a value are never read as a field.
    """
    known = _known()
    filled = _FIELD.sub(lambda found: values.get(known.get(_plain(found[1]), ""), ""), text)
    # Remove what a field without a value leaves: spaces at the end of lines, and extra empty lines.
    lines = "\n".join(line.rstrip() for line in filled.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def clean(text: str) -> str:
    """Return the text as it is kept."""
    return text.replace("\r\n", "\n").replace("\x00", "").strip()


def _known() -> dict[str, str]:
    """Return {a name that a template may use: key of the field}, for all languages of the pages."""
    found: dict[str, str] = {}
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            found |= {_plain(str(name)): key for key, (name, _what) in FIELDS.items()}
    return found


def _plain(field: str) -> str:
    return " ".join(field.split()).lower()
