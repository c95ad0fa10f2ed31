"""Changes: who changed what, when and from where; the last change of a rule can be undone."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from config.admin.menu import allowed
from config.admin.pages.rules import earlier_offer, former_days_notices
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.undoing import undo_again, undo_offers, undo_step
from config.admin.pages.staff import (
    change_line,
    changes_buyers,
    changes_cells,
    changes_search,
    changes_undo,
)
from config.admin.pages.staff.change_line import ChangeLine
from config.admin.pages.staff.changes_list import (
    ActFilter,
    ChangesList,
    KindFilter,
    OthersFilter,
    WhenFilter,
    WhoFilter,
)
from config.admin.parts import badges, batch_links, times
from config.admin.parts.buttons import BACK, Button, way_back
from config.admin.parts.changelist import ReadOnly
from config.admin.parts.differences import differences, kind_of, page_of
from config.admin.parts.params import word
from events.execution import rule_history
from integrations.audit import Act
from integrations.models import AuditEntry
from integrations.sentences import say
from rules.history import product_undoing, undoing
from rules.models import Rule

# What is listed as kept on purpose.
KEPT = {Act.REFUNDED_KEPT, Act.CANCELED_KEPT}


@admin.register(AuditEntry)
class ChangesAdmin(ReadOnly):
    list_title = _("Changes")
    one, many = _("change"), _("changes")
    list_display = ("when", "shown_who", "what", "subject", "difference")
    list_display_links = ("when",)
    list_filter = (WhoFilter, ActFilter, KindFilter, WhenFilter, OthersFilter)
    # A rule's or integration's page leads to its own changes.
    also_asked = ("number",)
    search_fields = ("who",)  # and the name and the customers, below
    search_help_text = _("Name or person")
    ordering = ("-id",)
    actions = None
    intro = _(
        "Everything that people and commands did. Nobody can edit this record. Sign-ins are hidden "
        "unless you ask for them."
    )
    empty = _("Nothing was changed yet.")
    nothing_fits = _("No changes match.")
    buttons = (
        Button(
            "undo",
            _("Undo this change"),
            "rules.change_rule",
            fits=lambda entry: not entry.undoes and _has_button(entry),
        ),
        Button(
            "undo",
            _("Take back this undo"),
            "rules.change_rule",
            "quiet",
            fits=lambda entry: bool(entry.undoes) and _has_button(entry),
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        return queryset.filter(changes_search.matching(word(search_term))), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChangesList

    # Columns

    @admin.display(description=_("When"))
    def when(self, entry: AuditEntry) -> SafeString:
        return times.ago(entry.at)

    @admin.display(description=_("Who"))
    def shown_who(self, entry: AuditEntry) -> SafeString:
        return badges.changes_by(entry.who)

    @admin.display(description=_("What"))
    def what(self, row: AuditEntry) -> SafeString | str:
        line = _line(row)
        text = changes_cells.did(line)
        if not line.undo.is_done:
            return text
        return format_html("{} {}", text, changes_cells.undone(line.undone_by))

    @admin.display(description=_("About"))
    def subject(self, row: AuditEntry) -> SafeString | str:
        return changes_cells.about(_line(row))

    def row_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        """Return a link to the page that shows what is undone, or to what a buyer keeps."""
        assert isinstance(thing, AuditEntry)
        line, here = _line(thing), request.get_full_path()
        entry, undo = line.newest, line.undo
        if entry.act == Act.BUYERS_KEPT and allowed(request, given_by_rule.PERMISSION):
            page = given_by_rule.where_kept(int(entry.number), back=here)
            return [(page, "", say("See what is kept"))] if page else []
        if entry.act in KEPT and allowed(request, given_by_rule.PERMISSION):
            page = f"{reverse('admin:refunded')}?{urlencode({BACK: here})}#kept"
            return [(page, "", say("See what is kept"))]
        if undo.forms:
            return list(undo.forms)
        if undo.batch:
            page = changes_undo.address_of_batch(undo.batch, here)
            return [(page, "", say("Undo"))]
        one = entry.act == Act.RULE_ADDED and undo.is_possible
        if not (undo.left or one) or not undo.is_allowed:
            return []
        page = undo_again.page(entry, here, alone=one)
        if entry.undoes:
            return [(page, "quiet", undo_again.label())]
        label = say("Undo") if one else undo_offers.label(undo.left, whole=undo.is_whole)
        return [(page, "", label)]

    def page_links(self, request: HttpRequest, thing: Model) -> list[tuple[str, str, str]]:
        """Return a link to the form that turns back what was done by hand."""
        assert isinstance(thing, AuditEntry)
        return _forms(request, thing, undone=bool(changes_undo.undone_entries([thing])))

    @admin.display(description=_("Change"))
    def difference(self, row: AuditEntry) -> SafeString | str:
        return changes_cells.change(_line(row))

    # A page of its own

    def title_of(self, thing: AuditEntry) -> str:
        undid = changes_undo.undone_by_these([thing]).get(thing.pk)
        return changes_cells.undid(undid) or capfirst(thing.sentence)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        entry: AuditEntry = context["original"]
        undone = bool(changes_undo.undone_entries([entry]))
        told = {
            "undone": undone and changes_cells.undone(undoing.undoings([entry]).get(entry.pk)),
            "links": [
                *_forms(request, entry, undone=undone),
                *former_days_notices.links_of_change(request, entry),
            ],
            "differences": differences(entry),
            "name": changes_cells.shown_name(entry),
            "kind": kind_of(entry),
            "subject_url": page_of(entry),
            "batch": [
                batch_links.link(request, number)
                for number in batch_links.existing_batches(request, [entry])
            ],
            "with_it": undo_offers.same_step_offer(entry),
            "with_it_page": self._page_of_step(request, entry),
            "deletes": self._page_that_deletes(request, entry),
            "buyers": changes_buyers.of_entry(request, entry),
            "cannot_undo": undoing.why_not(entry) if entry.act in undoing.UNDOABLE_ACTS else "",
        }
        return super().render_change_form(request, context | told, *args, **kwargs)

    def _page_of_step(self, request: HttpRequest, entry: AuditEntry) -> str:
        """Return the address of the page that undoes its whole step, "" without permission."""
        if not undo_offers.may_undo(request, entry, whole_step=True):
            return ""
        return undo_offers.address(entry, back=request.get_full_path())

    def _page_that_deletes(self, request: HttpRequest, entry: AuditEntry) -> str:
        """Return the address of the page that deletes the added rule, "" if that cannot be done."""
        if entry.act != Act.RULE_ADDED or not undo_offers.may_undo(request, entry):
            return ""
        back = request.get_full_path()
        return undo_offers.address_of_one(entry, back=back) if _can_undo(entry) else ""

    def undo(self, request: HttpRequest, entry: AuditEntry) -> HttpResponse | None:
        """Make the rule what it was before this change, or restore a product with its rules.

        For an added rule, go to the page that asks before it is deleted.
        """
        if entry.act in undo_offers.NEEDED and not undo_offers.may_undo(request, entry):
            raise PermissionDenied
        if entry.act == Act.PRODUCT_DELETED:
            back = way_back(request) or reverse("admin:integrations_auditentry_changelist")
            return undo_step.restore(request, entry, back)
        if entry.act == Act.RULE_ADDED and _can_undo(entry):
            page = undo_offers.address_of_one(entry, back=way_back(request))
            return HttpResponseRedirect(page)
        if entry.act == Act.PRODUCT_CHANGED:
            return self._rename_back(request, entry)
        try:
            rule = undoing.undo(entry)
        except ValueError as error:
            text = say("Not undone. {why}", why=error)
            self.message_user(request, text, messages.WARNING)
            return None
        back = way_back(request) or reverse("admin:integrations_auditentry_changelist")
        self.message_user(request, undo_again.told(request, _undone(entry, rule), [entry], back))
        if entry.act == Act.RULE_DELETED:
            rule_history.give_back(rule)
            if found := undo_offers.same_step_offer(entry):
                link = format_html('<a href="{}">{}</a>', undo_offers.address(entry), found[1])
                self.message_user(request, format_html("{} {}", found[0], link), messages.WARNING)
        if given := given_by_rule.sentence(int(entry.number), back=back):
            self.message_user(request, given, messages.WARNING)
        if earlier := earlier_offer.sentence(request, [rule], back):
            self.message_user(request, earlier, messages.WARNING)
        if waiting := former_days_notices.sentence(request, [rule]):
            self.message_user(request, waiting, messages.WARNING)
        return HttpResponseRedirect(back)

    def _rename_back(self, request: HttpRequest, entry: AuditEntry) -> HttpResponse | None:
        try:
            product = product_undoing.rename_back(entry)
        except ValueError as error:
            text = say("Not undone. {why}", why=error)
            self.message_user(request, text, messages.WARNING)
            return None
        name = badges.brief(product.name)
        back = way_back(request) or reverse("admin:integrations_auditentry_changelist")
        text = say("Undone. The product is called {name} again.", name=name)
        self.message_user(request, undo_again.told(request, text, [entry], back))
        return HttpResponseRedirect(back)


def _undone(entry: AuditEntry, rule: Rule) -> SafeString:
    """Return what is true of the rule again, with a link to it."""
    match (entry.before or {}).get("enabled") if entry.act == Act.RULE_CHANGED else None:
        case True:
            text = say("Undone. It is on again:")
        case False:
            text = say("Undone. It is off again:")
        case _:
            text = say("Undone. The rule is as it was before:")
    page = reverse("admin:rules_rule_change", args=[rule.pk])
    return format_html('{} <a href="{}">{}</a>', text, page, badges.rule_text(rule.sentence()))


def _line(row: AuditEntry) -> ChangeLine:
    line = change_line.line_of(row)
    assert line is not None
    return line


def _forms(request: HttpRequest, entry: AuditEntry, *, undone: bool) -> list[tuple[str, str, str]]:
    """Return the links to the forms that turn back what was done by hand, if it still stands."""
    return changes_undo.links_to_forms(request, [] if undone else [entry]).get(entry.pk, [])


def _has_button(entry: AuditEntry) -> bool:
    """Return whether a button undoes this entry. An added rule has a link to a page that asks."""
    return entry.act != Act.RULE_ADDED and _can_undo(entry)


def _can_undo(entry: AuditEntry) -> bool:
    if line := change_line.line_of(entry):
        return line.undo.is_possible
    return entry.act in undoing.UNDOABLE_ACTS and not undoing.why_not(entry)
