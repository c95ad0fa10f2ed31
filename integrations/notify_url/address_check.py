"""Check the addresses that Admit posts to: no private networks, unless the settings allow it.

`check_url` runs when an address is saved. A name may resolve to another IP address later, so the
client also asks `is_public` about each IP address that it connects to.
"""

import ipaddress

from django.utils.translation import gettext_lazy as _
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from integrations.calls.deadline import Addresses, LookUp, look_up
from integrations.sentences import Said, say

LONGEST = 500  # characters that the database column holds
LOOK_UP_SECONDS = 5
DEFAULT_PORTS = {"https": 443, "http": 80}

# All IPv6 addresses that are routed so far. `ipaddress` calls some others global, too.
_IPV6_GLOBAL = ipaddress.IPv6Network("2000::/3")
# Addresses that lead to the IPv4 address in their last four bytes (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Networks that `ipaddress` calls global, at least in some versions of Python, but that the cloud
# or network around this machine answers: IETF protocols and Oracle's metadata, and Azure's agent.
_ANSWERED_NEARBY = [ipaddress.IPv4Network(each) for each in ("192.0.0.0/24", "168.63.129.16/32")]

EMPTY = _("Enter the address of the receiver, for example https://example.com/hooks/samcart.")
UNUSABLE = _("That is not an address on the web. Copy it once more, from https:// to its end.")
NO_HTTP = _(
    "The address must begin with https://. What SamCart sends holds personal data, "
    "which anyone on the way could read otherwise."
)
WITH_USER = _(
    "The address must not contain a user name or a password. "
    "The receiver knows Admit by the signature of each message."
)
WITH_FRAGMENT = _("Leave out the # and what follows: it is never sent to a receiver.")
TOO_LONG = _("The address is too long. Admit takes {longest} characters at most.")
UNKNOWN_NAME = _("{host} was not found (DNS). Check the spelling, or try again later.")
TOO_SLOW = _("{host} could not be looked up within {seconds} seconds (DNS). Try again later.")
PRIVATE = _(
    "{host} is not on the public internet: its address is on this machine or in a private network. "
    "Admit posts there only with ALLOW_PRIVATE_NOTIFY_URLS=true in its settings."
)


def how_it_begins(*, allow_private: bool) -> Said:
    """Return the hint for entering an address: how it must begin for `check_url` to accept it."""
    if allow_private:
        return say("It begins with https://, or with http://, which this server takes as well.")
    return say("It begins with https://.")


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet; False if it is not an IP address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = _ipv4_in(found)
        if inner is None:
            return found in _IPV6_GLOBAL and found.is_global
        found = inner
    nearby = any(found in network for network in _ANSWERED_NEARBY)
    return found.is_global and not found.is_multicast and not nearby


def check_url(text: str, *, allow_private: bool, resolve: LookUp = look_up) -> str:
    """Check an address and return it normalized, as it is stored and posted to.

    Looks up the host. Raises ValueError with a sentence for the person who entered the address.
    """
    url = _parse(text.strip(), allow_http=allow_private)
    host = (url.host or "").strip("[]")
    port = url.port or DEFAULT_PORTS[url.scheme or ""]
    try:
        addresses = resolve(host, port, LOOK_UP_SECONDS)
    except TimeoutError:
        raise ValueError(say(TOO_SLOW, host=host, seconds=LOOK_UP_SECONDS)) from None
    except (OSError, UnicodeError):
        raise ValueError(say(UNKNOWN_NAME, host=host)) from None
    if not allow_private and not _all_public(addresses):
        raise ValueError(say(PRIVATE, host=host))
    return url.url


def _parse(text: str, *, allow_http: bool) -> Url:
    if not text:
        raise ValueError(say(EMPTY))
    if "\\" in text or not text.isprintable() or " " in text:
        raise ValueError(say(UNUSABLE))
    try:
        url = parse_url(text)  # sending uses the same parser, so both see the same host
    except LocationParseError:
        raise ValueError(say(UNUSABLE)) from None
    if url.scheme not in DEFAULT_PORTS or not url.host or url.port == 0:
        raise ValueError(say(UNUSABLE))
    if url.scheme == "http" and not allow_http:
        raise ValueError(say(NO_HTTP))
    if url.auth is not None:
        raise ValueError(say(WITH_USER))
    if url.fragment is not None:
        raise ValueError(say(WITH_FRAGMENT))
    port = None if url.port == DEFAULT_PORTS[url.scheme] else url.port
    url = url._replace(port=port, path=url.path or "/")
    if len(url.url) > LONGEST:
        raise ValueError(say(TOO_LONG, longest=LONGEST))
    return url


def _all_public(addresses: Addresses) -> bool:
    return bool(addresses) and all(is_public(address[0]) for *__, address in addresses)


def _ipv4_in(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that this IPv6 address leads to, if any."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
