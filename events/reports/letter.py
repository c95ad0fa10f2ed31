"""The template of the letter to a customer: the fields that it may have, and filling them in."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from events.models import LetterTemplate
from integrations import audit
from integrations.audit import Act, Subject
from integrations.sentences import Said, Text, joined, say
from rules.listing import listed

# Each field: how a template calls it, and what it stands for. In the English ones it has its key.
FIELDS: dict[str, tuple[Text, Text]] = {
    "first name": (_("first name"), _('The customer\'s first name, or "there"')),
    "email": (_("email"), _("The customer's e-mail address")),
    "course": (_("course"), _("The courses that the letter is about")),
    "school": (_("school"), _("The name of the school, which is that of its integration")),
    "what happened": (
        _("what happened"),
        _("What Admit knows: what opens and how to sign in, what ended, what is missing"),
    ),
}
EXAMPLE: dict[str, str] = {
    "first name": "Dana",
    "email": "dana@example.com",
    "course": "Watercolor for Beginners",
    "school": "Art Academy",
}
LONGEST = 5000
_FIELD = re.compile(r"\{([^{}]*)\}")


def ours() -> str:
    """The template of an installation whose owner wrote none, in the language of the letters."""
    with translation.override(settings.LANGUAGE_CODE):
        names = {key.replace(" ", "_"): f"{{{name}}}" for key, (name, _what) in FIELDS.items()}
        return say(
            "Hi {first_name},\n\n{what_happened}\n\n"
            "If anything is not as you expect, just reply to this e-mail.\n\n"
            "Kind regards,\n{school}",
            **names,
        )


def fields() -> list[tuple[str, Text]]:
    """("{first name}", what it stands for): the fields in the language of the letters."""
    with translation.override(settings.LANGUAGE_CODE):
        written = [f"{{{name}}}" for name, _what in FIELDS.values()]
    return list(zip(written, (what for _name, what in FIELDS.values()), strict=True))


def current() -> str:
    """The template in use: the owner's, or ours."""
    own = LetterTemplate.objects.filter(pk=LetterTemplate.ONLY).values_list("text", flat=True)
    return own.first() or ours()


def example() -> dict[str, str]:
    """What an invented customer's letter is filled with, in the language of the letters."""
    with translation.override(settings.LANGUAGE_CODE):
        happened = opens([EXAMPLE["course"]], "art-academy", EXAMPLE["email"])
    return EXAMPLE | {"what happened": happened}


def opens(courses: Sequence[str], site: str, email: str) -> Said:
    """What opens now at a site of Thinkific, and how to get in."""
    return say(
        "You have access to {courses}. Please sign in at https://{site}.thinkific.com with "
        '{email}. If you have no password yet, or forgot it, press "Forgot password?" there.',
        courses=listed(courses),
        site=site,
        email=email,
    )


def check(text: str) -> None:
    """Raises ValueError with a sentence for a template that cannot be used."""
    if not text.strip():
        raise ValueError(say("The letter is empty. Write it, or go back to ours."))
    if len(text) > LONGEST:
        raise ValueError(
            say("The letter is longer than {most} characters. Shorten it.", most=LONGEST)
        )
    known, shown = _known(), ", ".join(field for field, _what in fields())
    for name in _FIELD.findall(text):
        if _plain(name) not in known:
            raise ValueError(_no_field(name, shown))
    if "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise ValueError(
            say("A brace is open or left over. A field looks like one of {fields}.", fields=shown)
        )


def _no_field(name: str, shown: str) -> Said:
    said = [say("There is no field {field}.", field=f"{{{name[:60]}}}")]
    if near := get_close_matches(_plain(name), _known(), n=1):
        said.append(say("Did you mean {field}?", field=f"{{{near[0]}}}"))
    return joined([*said, say("The fields are {fields}.", fields=shown)])


def fill(text: str, values: Mapping[str, str]) -> str:
    """The letter; what a value holds is never read as a field. A field of no value goes."""
    known = _known()
    filled = _FIELD.sub(lambda found: values.get(known.get(_plain(found[1]), ""), ""), text)
    # What a field without a value leaves: spaces at the end of lines, and lines beyond one.
    lines = "\n".join(line.rstrip() for line in filled.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def save(text: str) -> None:
    """Use this template from now on; ours where it says the same. Raises ValueError."""
    text = text.replace("\r\n", "\n").replace("\x00", "").strip()
    check(text)
    with transaction.atomic():
        before = current()
        if text == ours():
            LetterTemplate.objects.all().delete()
        else:
            LetterTemplate.objects.update_or_create(pk=LetterTemplate.ONLY, defaults={"text": text})
        if before != text:
            subject = Subject(name=say("The letter to customers"))
            audit.record(Act.LETTER_CHANGED, subject, before={"text": before}, after={"text": text})


def _known() -> dict[str, str]:
    """The key of each field by how a template may call it: in any language of the pages."""
    found: dict[str, str] = {}
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            found |= {_plain(str(name)): key for key, (name, _what) in FIELDS.items()}
    return found


def _plain(field: str) -> str:
    return " ".join(field.split()).lower()
