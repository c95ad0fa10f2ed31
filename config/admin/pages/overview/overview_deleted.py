"""What the overview says of rules that ended access on a refund and were deleted lately."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from config.admin.pages.rules.given import change_links
from config.admin.pages.rules.given.change_links import Link
from config.admin.pages.rules.undoing.undo_offers import ADDS, EDITS
from config.admin.parts.badges import brief
from integrations.models import AuditEntry, Product
from integrations.sentences import Said, say, say_count
from rules.facts import Places
from rules.history import deleted_endings, rule_changes

# How many are told. Changes has the others.
MAX_TOLD = 5


@dataclass(frozen=True, slots=True)
class DeletedRule:
    """A deleted rule: what that means for buyers, and where the deletion can be seen and undone.

    `undo` is the address to post to, "" for a person who may not restore rules.
    """

    text: Said
    changes: Sequence[Link]
    undo: str


@dataclass(frozen=True, slots=True)
class DeletedRules:
    """Those that are `told`, and one sentence for all of them for the headline, if any."""

    told: Sequence[DeletedRule] = ()
    alarms: Sequence[Said] = ()


def summarize(request: HttpRequest, places: Places, recent: Sequence[AuditEntry]) -> DeletedRules:
    """Return what is told of these changes of rules. Takes one query if there is anything."""
    found = deleted_endings.among(recent, places)
    if not found:
        return DeletedRules()
    shown = found[:MAX_TOLD]
    products = Product.objects.in_bulk(
        [number for each in shown if (number := rule_changes.number_before(each, "product"))]
    )
    may_undo = request.user.has_perms([EDITS, ADDS])
    alarm = say_count(
        len(found),
        "1 rule that ended access on a refund was deleted.",
        "{number} rules that ended access on a refund were deleted.",
    )
    told = [
        DeletedRule(
            _text(entry, products.get(rule_changes.number_before(entry, "product") or 0)),
            change_links.of_entries(request, [entry]),
            reverse("admin:integrations_auditentry_do_undo", args=[entry.pk]) if may_undo else "",
        )
        for entry in shown
    ]
    return DeletedRules(told, [alarm])


def _text(entry: AuditEntry, product: Product | None) -> Said:
    course = brief(rule_changes.course_before(entry))
    if product is None:
        return say(
            "The global rule that ended {course} on a refund was deleted: refunded buyers keep "
            "access.",
            course=course,
        )
    return say(
        "The rule that ended {course} on a refund was deleted: refunded buyers of {product} keep "
        "access.",
        course=course,
        product=brief(product.name),
    )
