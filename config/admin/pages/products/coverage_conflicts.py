"""Finds rules of a product that somebody else changed since its row of coverage was filled in."""

from collections import defaultdict
from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse

from config.admin.pages.products.coverage_form import CoverageForm
from config.admin.pages.products.coverage_said import in_words
from config.admin.parts import edit_conflicts
from config.admin.parts.differences import NOTHING, Difference
from integrations.models import AuditEntry
from integrations.sentences import joined
from rules.models import Rule

MAX_ENTRIES = 1000


def conflict_page(request: HttpRequest, forms: Iterable[CoverageForm]) -> HttpResponse | None:
    """Return the page to answer with if that happened to a row with input, else None.

    The person's own changes do not count: the page's buttons add rules in between.
    """
    touched = {form.row.key: form for form in forms if form.is_touched}
    others = edit_conflicts.entries_since(request, kind="rule").exclude(
        who=request.user.get_username()
    )
    found = _by_row(others[:MAX_ENTRIES]) if touched else {}
    both = [key for key in touched if key in found]
    if not both:
        return None
    told = [edit_conflicts.other_edit(entry) for key in both for entry in found[key]]
    lines = [_line(touched[key]) for key in both]
    return edit_conflicts.page(
        request, told[: edit_conflicts.MAX_SHOWN], lines, edit_conflicts.new_form_state()
    )


def _by_row(entries: Iterable[AuditEntry]) -> dict[str, list[AuditEntry]]:
    """Return the entries by the key of the row that they are about."""
    numbered = [(int(each.number), each) for each in entries if each.number.isdecimal()]
    stored = Rule.objects.in_bulk([number for number, _ in numbered])
    found: dict[str, list[AuditEntry]] = defaultdict(list)
    for number, entry in numbered:
        kept = entry.before or entry.after or {}
        # The entry of a deleted rule has all its values.
        product, account = (_number(kept.get(name)) for name in ("product", "marketplace"))
        if rule := stored.get(number):
            product, account = rule.product_id, rule.marketplace_id
        found[f"all-{account}" if product is None else str(product)].append(entry)
    return found


def _number(other: object) -> int | None:
    return other.get("number") if isinstance(other, dict) else None


def _line(form: CoverageForm) -> Difference:
    entered = [*form.entered, *(each.label for each in form.ticked)]
    there = in_words(form.row.rules, with_site=form.choices.has_several_sites)
    return Difference(form.name, there or NOTHING, joined(entered, ", "))
