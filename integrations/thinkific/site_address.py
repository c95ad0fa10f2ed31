"""Read the address of a Thinkific site as people paste it."""

import re

from django.utils.translation import gettext_lazy as _

from integrations.sentences import say

# Thinkific wants only the subdomain, in a header (source: its page "Authorization using API Key").
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SCHEME = re.compile(r"\A(https?:)?//", re.IGNORECASE)
_PORT = re.compile(r":[0-9]+\Z")
_THINKIFIC = "thinkific.com"
_NOT_SCHOOLS = frozenset({"www", "api"})

EMPTY = _("Enter the site's subdomain, for example school if its address is school.thinkific.com.")
NOT_A_SCHOOL = _(
    "That is an address of Thinkific itself. "
    "Paste the address of your own site, for example school.thinkific.com."
)
OWN_DOMAIN = _(
    "That is your own domain. "
    "Paste the Subdomain that Thinkific shows under Settings > Code & Analytics > API."
)
UNUSABLE = _(
    "A subdomain has only the letters a to z, digits and hyphens. "
    "Paste the Subdomain that Thinkific shows under Settings > Code & Analytics > API."
)


def subdomain(text: str) -> str:
    """Return the subdomain, in lower case, from any form of a site's address.

    Accepts `school`, `school.thinkific.com` and `https://School.thinkific.com/any/path?x`, with
    spaces around it. Raises ValueError with a sentence for the person who pasted it.
    """
    pasted = text.strip()
    if not pasted:
        raise ValueError(say(EMPTY))
    host = host_of(pasted)
    if not host.isprintable() or "@" in host or ":" in host:
        raise ValueError(say(UNUSABLE))
    label = host.removesuffix(f".{_THINKIFIC}")
    if host == _THINKIFIC or label in _NOT_SCHOOLS:
        raise ValueError(say(NOT_A_SCHOOL))
    if "." in label:
        raise ValueError(say(OWN_DOMAIN if label == host else UNUSABLE))
    if not _LABEL.fullmatch(label):
        raise ValueError(say(UNUSABLE))
    return label


def host_of(address: str) -> str:
    """Return the host, in lower case, of an address with or without scheme and port."""
    host = re.split(r"[/?#]", _SCHEME.sub("", address), maxsplit=1)[0]
    name = _PORT.sub("", host).rstrip(".")
    # Only ASCII is lowered: the Kelvin sign would turn into a plain k.
    return name.lower() if name.isascii() else name
