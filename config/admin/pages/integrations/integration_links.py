"""Where pages of integrations lead to: lists of rules and courses, and what replaces a course."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.parts import badges
from config.admin.parts.buttons import BACK, page_of
from integrations.models import Destination, Integration
from integrations.sentences import say
from rules import broken_rules
from rules.broken_rules import BrokenRules


def rules_of(**what: int) -> str:
    """Return the address of the rules of an integration or destination: rules_of(destination=7)."""
    query = "&".join(f"{name}__id__exact={pk}" for name, pk in what.items())
    return f"{reverse('admin:rules_rule_changelist')}?{query}"


def courses_of(integration: Integration, kind: Destination.Kind) -> str:
    """Return the address of the list of an integration's courses or bundles that Thinkific has."""
    page = reverse("admin:integrations_destination_changelist")
    return f"{page}?integration={integration.pk}&kind__exact={kind.value}&listed=yes"


def another_course(gone: Destination, *, back: str = "") -> str:
    """Return the address of the page that replaces a course in its rules.

    The course is gone or no longer listed.
    """
    asked = {"course": gone.pk} | ({BACK: back} if back else {})
    return f"{reverse('admin:another-course')}?{urlencode(asked)}"


def gone_sentence(request: HttpRequest, found: Sequence[BrokenRules]) -> SafeString | str:
    """Return "1 course used by 2 rules is gone from Thinkific: choose another."

    Of several courses each name is a link. A person who may not change rules is led to the rules.
    """
    if not allowed(request, "rules.change_rule"):
        return broken_sentence(found)
    gone = (each.destination for each in found)
    pages = [another_course(each, back=page_of(each.integration)) for each in gone]
    return _sentence(found, pages, say("choose another"))


def broken_sentence(found: Sequence[BrokenRules]) -> SafeString | str:
    """Return "1 course used by 2 rules is not listed by Thinkific: see them."

    Of several courses each name is a link to its rules.
    """
    pages = [rules_of(destination=each.destination.pk) for each in found]
    return _sentence(found, pages, say("see them"))


def _sentence(found: Sequence[BrokenRules], pages: Iterable[str], of_one: str) -> SafeString | str:
    if not found:
        return ""
    names = [of_one] if len(found) == 1 else [badges.brief(each.destination.name) for each in found]
    links = format_html_join(", ", '<a href="{}">{}</a>', zip(pages, names, strict=True))
    return format_html("{}: {}.", broken_rules.sentence([*found]), links)
