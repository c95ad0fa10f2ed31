"""The template of the letter to a customer: the fields that it may have, and filling them in."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from django.db import transaction

from events.models import LetterTemplate
from integrations import audit
from integrations.audit import Act, Subject

# Each field with what it stands for.
FIELDS: dict[str, str] = {
    "first name": 'The customer\'s first name, or "there"',
    "email": "The customer's e-mail address",
    "course": "The courses that the letter is about",
    "school": "The name of the school, which is that of its integration",
    "what happened": "What Admit knows: what opens and how to sign in, what ended, what is missing",
}
OURS = """Hi {first name},

{what happened}

If anything is not as you expect, just reply to this e-mail.

Kind regards
{school}"""
EXAMPLE: dict[str, str] = {
    "first name": "Dana",
    "email": "dana@example.com",
    "course": "Watercolor for Beginners",
    "school": "Art Academy",
    "what happened": (
        "You have access to Watercolor for Beginners. Please sign in at "
        "https://art-academy.thinkific.com with dana@example.com. If you have no password yet, or "
        'forgot it, press "Forgot password?" there.'
    ),
}
LONGEST = 5000
_FIELD = re.compile(r"\{([^{}]*)\}")


def current() -> str:
    """The template in use: the owner's, or ours."""
    own = LetterTemplate.objects.filter(pk=LetterTemplate.ONLY).values_list("text", flat=True)
    return own.first() or OURS


def check(text: str) -> None:
    """Raises ValueError with a sentence for a template that cannot be used."""
    if not text.strip():
        raise ValueError("The letter is empty. Write it, or go back to ours.")
    if len(text) > LONGEST:
        raise ValueError(f"The letter is longer than {LONGEST:,} characters. Shorten it.")
    known = ", ".join(f"{{{name}}}" for name in FIELDS)
    for name in _FIELD.findall(text):
        if _name(name) not in FIELDS:
            near = get_close_matches(_name(name), FIELDS, n=1)
            meant = f" Did you mean {{{near[0]}}}?" if near else ""
            raise ValueError(f"There is no field {{{name[:60]}}}.{meant} The fields are {known}.")
    if "{" in _FIELD.sub("", text) or "}" in _FIELD.sub("", text):
        raise ValueError(f"A brace is open or left over. A field looks like one of {known}.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The letter; what a value holds is never read as a field. A field of no value goes."""
    filled = _FIELD.sub(lambda found: values.get(_name(found[1]), ""), text)
    # What a field without a value leaves: spaces at the end of lines, and lines beyond one.
    lines = "\n".join(line.rstrip() for line in filled.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def save(text: str) -> None:
    """Use this template from now on; ours where it says the same. Raises ValueError."""
    text = text.replace("\r\n", "\n").replace("\x00", "").strip()
    check(text)
    with transaction.atomic():
        before = current()
        if text == OURS:
            LetterTemplate.objects.all().delete()
        else:
            LetterTemplate.objects.update_or_create(pk=LetterTemplate.ONLY, defaults={"text": text})
        if before != text:
            subject = Subject(name="The letter to customers")
            audit.record(Act.LETTER_CHANGED, subject, before={"text": before}, after={"text": text})


def _name(field: str) -> str:
    return " ".join(field.split()).lower()
