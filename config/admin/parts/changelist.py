"""What all our lists have in common, and a paginator that never counts a whole table."""

from typing import Any, ClassVar, Self

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config.admin.parts import badges
from config.admin.parts.buttons import BACK, Buttons, go_back, row_name, way_back
from config.admin.parts.params import page_number, row_ids, word
from integrations.sentences import Text, format_number, say

COUNTED = 1000
# Stands for a row's number in the address that is built once for all rows.
ROW = "the-row"
CHOOSE = [("", _("Choose…"))]


def takes_all(request: HttpRequest) -> bool:
    """Return whether a bulk action is for all rows that the filters find, on every page."""
    return request.POST.get("select_across") == "1"


class CappedPaginator(Paginator):
    """Counts at most 1,000 rows past the requested page, and then says "1,000+"."""

    def __init__(self, rows: Any, per_page: int, *, most: int) -> None:
        super().__init__(rows, per_page)
        self._most = most

    @classmethod
    def at_page(cls, rows: Any, per_page: int, number: int) -> Self:
        """Return a paginator for the page of this number."""
        return cls(rows, per_page, most=number * per_page + COUNTED + 1)

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            # By primary keys only: columns that the list adds are not needed for counting.
            return rows.order_by().values("pk")[: self._most].count()
        return len(rows)

    @property
    def spoken(self) -> str:
        """The number of rows as a person reads it."""
        more = "+" if self.count == self._most else ""
        return format_number(self.count - bool(more)) + more


class RowList(ChangeList):
    """Django's list, but the address that rows lead to is built once for all of them.

    Django builds one for each row, and resolves it again before it adds the filters.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        page = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[ROW])
        kept = f"?{self.preserved_filters}" if self.preserved_filters else ""
        self._before, _, after = page.partition(ROW)
        self._after = after + kept
        self.preserved_filters = ""

    def url_for_result(self, result: Model) -> str:
        return f"{self._before}{quote(result.pk)}{self._after}"

    def get_filters_params(self, params: Any = None) -> Any:
        """Leave out the way back, which is kept in the links of the list and filters nothing."""
        found = super().get_filters_params(params)
        found.pop(BACK, None)
        return found


class ListAdmin(Buttons):
    """A ModelAdmin for our lists: few queries, buttons in rows, words for an empty list."""

    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    # Columns to sort by. None by default: each list has the order of an index. Only a short list
    # may be sorted by other columns.
    sortable_by: ClassVar[tuple[str, ...]] = ()
    # Texts of the page. Those that are SafeString may hold links.
    intro: Text = ""
    empty: Text = _("Nothing here yet.")
    nothing_fits: Text = _("Nothing matches.")
    add_label: Text = _("New")
    # Whether the form of a new one also offers "Save and add another".
    add_another = False
    list_title: Text = ""
    # Lookups that other pages put into its address, beside its own filters.
    also_asked: tuple[str, ...] = ()
    # What its rows are called in "1 event", "20 events"; if empty, the model's own names.
    one: Text = ""
    many: Text = ""
    # Whether its bulk actions can also take all rows that the filters find, after a preview.
    across = False
    # The name of the page that gives the list as a CSV file.
    csv = ""

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: Any,
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,
    ) -> CappedPaginator:
        return CappedPaginator.at_page(queryset, per_page, page_number(request.GET.get("p")))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RowList

    def action_checkbox(self, obj: Model) -> SafeString:
        """Return Django's tick box, without rendering a template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            gettext("Select this object for an action - {}").format(row_name(obj)),
        )

    def get_urls(self) -> list[Any]:
        """Return the addresses without Django's history, which says little and is never linked."""
        mine = f"{self.opts.app_label}_{self.opts.model_name}_history"
        return [each for each in super().get_urls() if each.name != mine]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        if not any(button.in_row for button in self.buttons):
            return columns

        heading = format_html('<span class="visually-hidden">{}</span>', say("Buttons"))

        @admin.display(description=heading, empty_value="")
        def row_buttons(thing: Model) -> SafeString:
            return self.row_buttons(request, thing)

        return [*columns, row_buttons]

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = CHOOSE
    ) -> list[tuple[str, str]]:
        return super().get_action_choices(request, default_choices)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow only what our filters use: other lookups break on some texts or scan the table."""
        known: dict[str, Any] = dict.fromkeys(self.also_asked)
        for chip in self.list_filter:
            if isinstance(chip, str):
                known |= {f"{chip}__exact": self.opts.get_field(chip), f"{chip}__id__exact": None}
            else:
                known[getattr(chip, "parameter_name", "")] = None
        # A field with choices takes one of them: any other value would scan the whole table.
        choices = dict(getattr(known.get(lookup), "flatchoices", ()))
        if lookup not in known or "\x00" in value or (choices and value not in choices):
            # The list is then shown unfiltered. Returning False would be answered with a bare 400.
            raise IncorrectLookupParameters
        return True

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # The term may come from an address: databases fail on a very long one, or one with NUL.
        return super().get_search_results(request, queryset, word(search_term))

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Return False: no list of ours is a popup, and Django's own check breaks on some names."""
        return False

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action for the ticked rows; refuse all of them if one is not a row's number.

        Afterward lead back to the page that asked for it, which may be another one.
        """
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(row_ids(ticked)) != len(ticked):
            text = say(
                "Nothing was done: one of the chosen lines is not in this list. Choose again."
            )
            self.message_user(request, text, messages.WARNING)
            return None
        here = request.get_full_path()
        answer = super().response_action(request, queryset, *args, **kwargs)
        is_done = answer is not None and answer.headers.get("Location") == here
        # The way back in the address of the list is where the person goes when all is done.
        return go_back(request, here) if is_done and BACK in request.POST else answer

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        if self.across and takes_all(request) and ACTION_CHECKBOX_NAME not in request.POST:
            # Django requires a tick, even if it then takes all rows instead.
            posted = request.POST.copy()
            posted[ACTION_CHECKBOX_NAME] = "0"
            request.POST = posted  # type: ignore[assignment]  # Django itself puts others there
        if ERROR_FLAG in request.GET:
            text = say(
                "The link has a filter that this list does not know, so the whole list is shown. "
                "Choose the filter again."
            )
            self.message_user(request, text, messages.WARNING)
        title = self.list_title or capfirst(self.opts.verbose_name_plural)
        frame = {"title": title, "back": way_back(request)}
        return super().changelist_view(request, frame | (extra_context or {}))

    def title_of(self, thing: Any) -> str:
        """Return the title of a row's page."""
        return badges.brief(thing)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        is_new = context.get("original") is None
        frame: dict[str, Any] = {
            "show_save_and_add_another": self.add_another and is_new,
            "list_title": self.list_title,
        }
        if is_new and self.add_label != ListAdmin.add_label:
            frame["title"] = self.add_label
        if not is_new:
            # The title is what the page shows, not what a person does there.
            frame |= {"title": self.title_of(context["original"]), "subtitle": None}
        return super().render_change_form(request, context | frame, *args, **kwargs)


class ReadOnly(ListAdmin):
    """A log: read, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
