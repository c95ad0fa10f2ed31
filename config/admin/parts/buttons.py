"""Buttons that do one thing to one row: by POST only, each with its own permission.

A ModelAdmin lists its buttons in `buttons`. Each names a method `(request, thing)` that does the
work and may return a response. Otherwise the person returns to the page before.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from config.admin.menu import allowed
from config.admin.parts.badges import breakable, brief
from config.admin.parts.own_scripts import OwnScripts
from integrations.models import Customer
from integrations.samcart.normalize import examine_email
from integrations.sentences import Said, Text, say, separator

BACK = "back"
# An e-mail address that was typed to find a customer.
EMAIL = "email"
# How many a page shows; the others are behind a menu.
MOST_BUTTONS = 4


@dataclass(frozen=True, slots=True)
class Button:
    """A button. `name` is its method and the last part of its address.

    `style` is "", "primary" or "danger". `fits` says for which rows it is shown; posting it for
    another row does no harm, because the service behind it checks again. `on_page` and `in_row` say
    where it is shown, and `last` puts it behind a page's links. `confirm` returns sentences to read
    before the button can be pressed; rows do not show them.
    For rows for which a button is hardly ever wanted it is `quiet`: only the page's menu has it.
    """

    name: str
    label: Text
    permission: str
    style: str = ""
    fits: Callable[[Any], bool] = lambda thing: True
    on_page: bool = True
    in_row: bool = True
    confirm: Callable[[Any], Text] | None = None
    last: bool = False
    quiet: Callable[[Any], bool] = lambda thing: False


class Buttons(OwnScripts):
    """A ModelAdmin with buttons."""

    buttons: Sequence[Button] = ()
    # Whether a row's buttons are behind a menu, because there are many.
    row_menu = False
    # Whether a row's links to other pages come before its buttons.
    links_first = False

    def get_urls(self) -> list[Any]:
        return self._button_urls() + super().get_urls()

    def _button_urls(self) -> list[URLPattern]:
        return [
            path(
                f"<path:object_id>/do/{button.name}/",
                self.admin_site.admin_view(self._pressing(button)),
                name=address_name(self.model, button.name),
            )
            for button in self.buttons
        ]

    def _pressing(self, button: Button) -> Callable[..., HttpResponseBase]:
        @require_POST
        def press(request: HttpRequest, object_id: str) -> HttpResponse:
            if not allowed(request, button.permission):
                raise PermissionDenied
            thing = self.existing(request, object_id)
            answer: HttpResponse | None = getattr(self, button.name)(request, thing)
            return answer or go_back(request, page_of(thing))

        return press

    def existing(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row of this number. Raises Http404."""
        thing = self.get_object(request, object_id)
        if thing is None:
            raise Http404
        return thing

    def row_buttons(self, request: HttpRequest, thing: Model) -> SafeString:
        """Return a row's buttons, for a form that carries the CSRF token and the way back."""
        in_row = (each for each in self.buttons if each.in_row and not each.quiet(thing))
        shown, ways = self._shown(request, thing, in_row), self.row_links(request, thing)
        # Most rows of a log have neither, and computing the name takes longer than all the rest.
        name = brief(row_name(thing)) if shown or ways else ""
        presses = format_html_join(
            " ",
            '<button type="submit" class="button small {}" formaction="{}" formnovalidate>{}'
            '<span class="visually-hidden"> {}</span></button>',
            ((button.style, address(thing, button.name), button.label, name) for button in shown),
        )
        links = format_html_join(
            " ",
            '<a href="{}" class="button small {}">{}<span class="visually-hidden"> {}</span></a>',
            ((*link, name) for link in ways),
        )
        if self.row_menu and (shown or ways):
            sign = format_html(
                '<span aria-hidden="true">⋯</span><span class="visually-hidden">{}</span>',
                say("Actions for {name}", name=name),
            )
            return _menu("row", thing, "small", sign, format_html("{} {}", presses, links))
        return format_html("{} {}", *((links, presses) if self.links_first else (presses, links)))

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        """Return links from a row to other pages, beside its buttons: (address, style, label)."""
        return []

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        """Return the same, beside the buttons of a page."""
        return []

    def page_buttons(
        self,
        request: HttpRequest,
        thing: Model,
        links: Iterable[tuple[str, str, str]] | None = None,
    ) -> SafeString:
        """Return the page's buttons, each in a form of its own, so no form may be around them.

        If there are many, a menu holds all but the first. Primary links come first. `links` are
        those of `page_links`, if they are known already.
        """
        on_page = (button for button in self.buttons if button.on_page)
        shown = self._shown(request, thing, on_page)
        links = self.page_links(request, thing) if links is None else links
        links = sorted(links, key=lambda link: link[1] != "primary")
        number = sum(style == "primary" for _, style, _ in links)
        ways = [format_html('<a href="{}" class="button {}">{}</a>', *link) for link in links]
        every = ways[:number]
        quiet = [_form(request, thing, button) for button in shown if button.quiet(thing)]
        loud = [button for button in shown if not button.quiet(thing)]
        every += [_form(request, thing, button) for button in loud if not button.last]
        every += ways[number:]
        every += [_form(request, thing, button) for button in loud if button.last]
        if len(every) <= MOST_BUTTONS and not quiet:
            return format_html_join(" ", "{}", ((each,) for each in every))
        first, others = every[: MOST_BUTTONS - 1], every[MOST_BUTTONS - 1 :] + quiet
        shown_first, behind = (
            format_html_join(" ", "{}", ((each,) for each in some)) for some in (first, others)
        )
        return format_html("{} {}", shown_first, _menu("more", thing, "", say("More"), behind))

    def _shown(self, request: HttpRequest, thing: Model, buttons: Iterable[Button]) -> list[Button]:
        # `fits` may cost a query, so it is asked only for buttons of this place.
        return [
            button
            for button in buttons
            if allowed(request, button.permission) and button.fits(thing)
        ]


def row_name(row: Any) -> str:
    """Return the name of a list's row, made once: a rule's takes as long as the rest of its row."""
    if not hasattr(row, "row_name"):
        row.row_name = str(row)
    name: str = row.row_name
    return name


def _menu(where: str, thing: Model, style: str, label: str, behind: SafeString) -> SafeString:
    """Return a button that opens a sheet above the page, so that no frame around it cuts it off.

    It opens and closes without script, and the Tab key reaches the sheet right after the button.
    """
    name = f"menu-{where}-{thing._meta.model_name}-{thing.pk}"
    return format_html(
        '<div class="row-menu"><button type="button" class="button {}" popovertarget="{}">{}'
        '</button><div class="sheet" id="{}" popover>{}</div></div>',
        style,
        name,
        label,
        name,
        behind,
    )


def _form(request: HttpRequest, thing: Model, button: Button) -> SafeString:
    form = (
        '<form method="post" action="{}">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<input type="hidden" name="back" value="{}">'
        '<button type="submit" class="button {}">{}</button></form>'
    )
    # A person who presses it on another page stays there.
    elsewhere = request.method == "GET" and request.path != page_of(thing)
    here = request.get_full_path() if elsewhere else ""
    where = address(thing, button.name), get_token(request), here
    if button.confirm is None:
        return format_html(form, *where, button.style, button.label)
    label = str(button.label)
    yes = say("Yes, {what}", what=label[:1].lower() + label[1:])
    return format_html(
        '<details class="confirm" name="confirm"><summary class="button {}">{}</summary>'
        '<p>{}</p>{} <a class="button" href="{}">{}</a></details>',
        button.style,
        button.label,
        button.confirm(thing),
        format_html(form, *where, "danger", yes),
        request.get_full_path() if request.method == "GET" else page_of(thing),
        say("No, leave it as it is"),
    )


def address_name(model: type[Model], name: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_do_{name}"


def page_of(thing: Model) -> str:
    """Return the address of the row's own page."""
    meta = thing._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[thing.pk])


def links_to(named: Iterable[tuple[Model, str]]) -> SafeString:
    """Return a link to the page of each row under its name, separated as other lists of names."""
    return links([(page_of(each), name) for each, name in named])


def links_to_customers(customers: Iterable[Customer], typed: str) -> SafeString:
    """Return a link to the page of each customer under its address.

    If the text that was `typed` to find them is an e-mail address, their pages offer to move access
    to it.
    """
    asked = "" if examine_email(typed)[1] else f"?{urlencode({EMAIL: typed})}"
    return links([(page_of(each) + asked, brief(each.readable_email)) for each in customers])


def links(named: Sequence[tuple[str, str]]) -> SafeString:
    """Return these links, by address and name, as a list in words."""
    links = ((page, breakable(name)) for page, name in named)
    return format_html_join(separator(name for _, name in named), '<a href="{}">{}</a>', links)


def address(thing: Model, name: str) -> str:
    """Return the address that a button of this row posts to."""
    return reverse(f"admin:{address_name(type(thing), name)}", args=[thing.pk])


def go_back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """Redirect to the page that the form names as the way back, if it is one of ours."""
    return HttpResponseRedirect(way_back(request) or otherwise)


def see_them(number: int) -> Said:
    """Return the label of a link to so many things: "See it" or "See them"."""
    return say("See it") if number == 1 else say("See them")


def way_back(request: HttpRequest) -> str:
    """Return the page of ours that form or address name as the way back, "" for any other."""
    back = request.POST.get(BACK) or request.GET.get(BACK, "")
    return back if is_ours(request, back) and back.startswith("/") else ""


def here(request: HttpRequest) -> str:
    """Return the address of the page as the way back to it, without its own to another site."""
    if way_back(request) or BACK not in request.GET:
        return request.get_full_path()
    asked = request.GET.copy()
    del asked[BACK]
    return f"{request.path}?{asked.urlencode()}"


def is_ours(request: HttpRequest, address: str) -> bool:
    """Return whether the address leads to this server, and by https if this request came by it."""
    return url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )


def back_field(request: HttpRequest) -> SafeString:
    """Return a hidden field with the way back to this page, for a form around row buttons."""
    return format_html('<input type="hidden" name="{}" value="{}">', BACK, request.get_full_path())
