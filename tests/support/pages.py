"""What a person does on the admin's pages, and what the pages say."""

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

import django.apps
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from config.staff import confirmation, roles
from integrations.models import Integration

LOG = "admin:events_eventlog_changelist"
ACTIONS = "admin:events_rulerun_changelist"
CUSTOMERS = "admin:integrations_customer_changelist"
# Tags around which whitespace shows nothing.
ALONE = (
    r"</?(?:br|d[dlt]|details|div|fieldset|form|h\d|legend|li|link|nav|ol|optgroup|option|p|script"
    r"|section|summary|table|tbody|td|th|thead|tr|ul)\b[^<>]*>|<input type=\"hidden\"[^<>]*>"
)


# People


def person(role: str = "", **facts: Any) -> User:
    """Add a person who may sign in, with this role if one is given."""
    roles.grant(django.apps.apps)
    name = f"person {User.objects.count() + 1}"
    made = User.objects.create_user(name, is_staff=True, **facts)
    made.groups.set(Group.objects.filter(name=role))
    return made


def client_of(someone: User) -> Client:
    """Return the browser of a person who has just signed in."""
    client = Client()
    client.force_login(someone)
    confirmed(client)
    return client


def confirmed(client: Client) -> None:
    """Act as if the person had just given the password again."""
    request = HttpRequest()
    request.session = client.session
    confirmation.note(request)
    request.session.save()


def signed_in(role: str = "", **facts: Any) -> Client:
    """Return the browser of a new, signed-in person with this role."""
    return client_of(person(role, **facts))


# What they do


def press(client: Client, thing: Any, button: str, **data: Any) -> Any:
    """Press a button of this object; return the page that follows."""
    meta = thing._meta
    name = f"admin:{meta.app_label}_{meta.model_name}_do_{button}"
    return client.post(reverse(name, args=[thing.pk]), data, follow=True)


def bulk(client: Client, page: str, action: str, *chosen: Any) -> Any:
    """Tick rows of a list and run an action on them; return the page that follows."""
    data = {"action": action, "_selected_action": [each.pk for each in chosen]}
    return client.post(reverse(page), data, follow=True)


def save_site(client: Client, integration: Integration | None = None, **changes: Any) -> Any:
    """Fill in the form of a new or existing integration and press Save."""
    data = {"app": "thinkific", "name": "Art Academy", "site": "acme", "secret": ""}
    data |= {"enabled": "on", "field_mappings-TOTAL_FORMS": "0"}
    data |= {"field_mappings-INITIAL_FORMS": "0"} | changes
    path = (
        reverse("admin:integrations_integration_change", args=[integration.pk])
        if integration
        else reverse("admin:integrations_integration_add")
    )
    return client.post(path, {k: v for k, v in data.items() if v is not None}, follow=True)


# What the pages say


def plain(page: str) -> str:
    """Return the text of a page or a part of it, as people read it."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = text.replace("<wbr>", "")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def markup(answer: Any) -> str:
    """Return the HTML of a page without the whitespace that only lays out its templates.

    Each run is one space. There is none beside blocks and hidden fields, which stand alone, and
    none behind an opening tag or before a closing one.
    """
    page: str = re.sub(r"\s+", " ", answer.content.decode())
    page = re.sub(r"(<[a-z][^<>]*) >", r"\1>", page)
    page = re.sub(rf" ?({ALONE}) ?", r"\1", page)
    return re.sub(r"(<(?!input|img)[a-z][^<>]*>) ", r"\1", page).replace(" </", "</")


def words(answer: Any) -> str:
    """Return the text of a page, as people read it."""
    return plain(answer.content.decode())


def said(answer: Any) -> list[str]:
    """Return the messages that the page shows, without their tags and without what follows them."""
    found = re.findall(r'<ul class="messagelist">(.*?)</ul>', markup(answer))
    lines = re.findall(r"<li[^>]*>(.*?)</li>", "".join(found), re.DOTALL)
    lines = [re.sub(r"(<span data-follow=.*)<a .*?</a></span>", r"\1", line) for line in lines]
    lines = [re.sub(r"<span data-then>.*?</span>", "", line) for line in lines]
    return [html.unescape(re.sub(r"<[^>]+>", "", line)).strip() for line in lines]


def errors(answer: Any) -> str:
    """Return what the page says is wrong with the form."""
    found = re.findall(r'<ul class="errorlist.*?</ul>', answer.content.decode(), re.DOTALL)
    return plain(" ".join(found))


def rows(answer: Any) -> int:
    """Return how many rows of a list can be ticked."""
    page: str = answer.content.decode()
    return page.count('class="action-select"')


# Which pages there are


def named_addresses(patterns: Iterable[Any], way: str = "") -> Iterator[tuple[str, str]]:
    """Return the name and route of each named address of the admin."""
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from named_addresses(each.url_patterns, way + str(each.pattern))
        elif each.name:
            yield each.name, way + str(each.pattern)
