"""Whether SamCart can reach Admit under its public address."""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings

from integrations.sentences import say

# Names that mean this machine or its own network on every machine.
LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan")
EXAMPLE = "https://admit.example.com"


def problem() -> str:
    """Return why SamCart cannot reach PUBLIC_URL, as a sentence; "" when it can, and in the demo.

    Only the address is examined: nothing is called.
    """
    url = settings.PUBLIC_URL
    host = urlsplit(url).hostname or ""
    if settings.DEMO:
        return ""
    if _stays_here(host):
        return say(
            "SamCart cannot reach Admit yet: {url} is an address for this machine or its own "
            "network only. Admit needs a public https address, such as {example}.",
            url=url,
            example=EXAMPLE,
        )
    if not url.startswith("https://"):
        return say(
            "SamCart cannot reach Admit yet: {url} is not https, and SamCart sends sales to "
            "https addresses only. Admit needs one, such as {example}.",
            url=url,
            example=EXAMPLE,
        )
    return ""


def _stays_here(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return f".{host}".endswith(LOCAL_NAMES)
