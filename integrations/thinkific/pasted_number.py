"""Read the number of a course or bundle as people paste it from Thinkific's admin."""

import re
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from integrations.models import Destination
from integrations.sentences import joined, say
from integrations.thinkific.site_address import host_of, subdomain

Kind = Destination.Kind
_NOUN = {Kind.COURSE: _("course"), Kind.BUNDLE: _("bundle")}
# The largest number that the database holds. Thinkific's are far smaller.
LARGEST = 2**63 - 1
_IN_ADMIN = re.compile(r"/manage/(?:[^/]+/)*(course|bundle)s/([0-9]+)(?:/|\Z)", re.IGNORECASE)
_PRODUCT = re.compile(r"/products/[0-9]+(?:/|\Z)", re.IGNORECASE)
_FOR_STUDENTS = re.compile(r"\A/(?:courses|bundles|enroll)/", re.IGNORECASE)


def number(text: str, *, kind: Kind, site: str) -> int:
    """Return the number of a course or bundle from a number or an address in Thinkific's admin.

    Accepts `12345` and `https://school.thinkific.com/manage/courses/12345/settings?x`, also with a
    site's own domain, and spaces around it. `site` is the integration's subdomain. Raises
    ValueError with a sentence for the person who pasted it.
    """
    pasted = text.strip()
    if not pasted:
        enter = say("Enter the number of the {kind}.", kind=_NOUN[kind])
        raise ValueError(joined([enter, _where(kind)]))
    digits = pasted if re.fullmatch("[0-9]+", pasted) else _from_address(pasted, kind, site)
    if len(digits.lstrip("0")) > len(str(LARGEST)) or int(digits) > LARGEST:
        too_long = say("This number is too long for a {kind}.", kind=_NOUN[kind])
        raise ValueError(joined([too_long, _where(kind)]))
    if not int(digits):
        zero = say("No {kind} has the number 0.", kind=_NOUN[kind])
        raise ValueError(joined([zero, _where(kind)]))
    return int(digits)


def _from_address(pasted: str, kind: Kind, site: str) -> str:
    try:
        path = unquote(urlsplit(pasted if "//" in pasted else f"//{pasted}").path)
    except ValueError:
        path = ""
    if "/" not in path:
        raise ValueError(joined([say("This is not a number."), _where(kind)]))
    _check_school(pasted, site)
    found = _IN_ADMIN.search(path)
    if found is None:
        raise ValueError(_other_page(path, kind))
    other = Kind(found[1].lower())
    if other is not kind:
        raise ValueError(
            say(
                "This is the address of a {other}, and the action is for a {kind}. "
                "Choose a {other} action, or paste the address of a {kind}.",
                other=_NOUN[other],
                kind=_NOUN[kind],
            )
        )
    return found[2]


def _check_school(pasted: str, site: str) -> None:
    host = host_of(pasted)
    if not host.endswith(".thinkific.com"):
        return  # the school's own domain, which Admit does not know
    try:
        school = subdomain(host)
    except ValueError:
        school = ""
    if school != site:
        raise ValueError(
            say(
                "This is an address of {host}, and the integration is {site}.thinkific.com. "
                "Paste an address of that school.",
                host=host,
                site=site,
            )
        )


def _other_page(path: str, kind: Kind) -> str:
    if _PRODUCT.search(path):
        what = say(
            "This is the address of a product, and its number is not that of the {kind}.",
            kind=_NOUN[kind],
        )
    elif _FOR_STUDENTS.match(path):
        what = say("This is a page for students, and its address does not hold the number.")
    else:
        what = say("This address does not hold the number of a {kind}.", kind=_NOUN[kind])
    return joined([what, _where(kind)])


def _where(kind: Kind) -> str:
    return say(
        "Open the {kind} in Thinkific's admin and paste the page's address: "
        "it holds the number, behind {path}.",
        kind=_NOUN[kind],
        path=f"/manage/{kind.value}s/",
    )
