"""What of each line of Changes can be undone, and what came of it."""

from collections.abc import Container, Iterable, Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages import bulk_actions
from config.admin.pages.customers import by_hand
from config.admin.pages.rules import undo_offers
from config.admin.pages.staff import undone_batches
from config.admin.parts import batch_links
from config.admin.parts.buttons import BACK
from events.access import ended_by_hand
from events.reports.batches import DONE
from integrations.audit import Act
from integrations.audit_values import RUN
from integrations.models import AuditEntry, Product
from rules import product_undoing, steps, undoing

GIVEN = (Act.ACCESS_GIVEN, Act.ACCESS_GIVEN_BACK)
NO_STEP = steps.Step((), (), 0, 0)


def note(request: HttpRequest, lines: Iterable[Any]) -> None:
    """Set what of each line can be undone, and its batch. Takes the same queries for any number.

    `undone`: all of the line was undone. `undoable`: it is one entry that can be undone, as far as
    the list knows; pressing Undo looks closer. `left`, for a line of several rules: how many rules
    of the step can be undone, including those that a search left out; `all_left`: all of them can;
    `stay`: what became of the others; `may_undo`: this person may undo all of that.

    `batch` is a link to the results of its batch, `batch_to_undo` the batch's number. They are ""
    and None if the entries are not of one batch, or if this person may not do that. `forms` are
    links to the forms that turn back what a person did to a customer's access.
    """
    lines = list(lines)
    entries = [*chain.from_iterable(line.line for line in lines)]
    endings = undone_batches.endings_of(entries)
    undone = _undone(entries, endings)
    settled = undone | undone_batches.open_again(endings)
    last = steps.newest(entries)
    found = steps.every(
        line for line in lines if _is_step(line, last) or line.act == Act.PRODUCT_DELETED
    )
    products = _products(lines)
    whole_steps = {line: found.get(line.pk, NO_STEP).entries for line in lines}
    may_undo = undo_offers.which_may_be_undone(request, whole_steps)
    batches = batch_links.existing_batches(request, entries)
    forms = links_to_forms(request, [each for each in entries if each.pk not in undone])
    for each in lines:
        step = found.get(each.pk, NO_STEP)
        of_product = _can_undo_product(each, products, step)
        each.undoable = len(each.line) == 1 and (each.pk in last or of_product)
        each.may_undo = each.pk in may_undo
        _note_step(each, step if each.act in steps.OF_RULES else NO_STEP)
        each.undone = _is_undone(each.line, undone)
        numbers = {batch_links.number_of(entry) for entry in each.line}
        batch = batches.get(numbers.pop() or 0) if len(numbers) == 1 else None
        each.batch = batch_links.link(request, batch.pk) if batch else ""
        left = batch and batch.new_ids and not _is_undone(each.line, settled)
        can_undo = left and allowed(request, bulk_actions.UNDOES)
        each.forms = forms.get(each.pk, []) if len(each.line) == 1 else []
        each.batch_to_undo = batch.pk if batch and can_undo else None


def undone_entries(entries: Sequence[AuditEntry]) -> set[int]:
    """Return the IDs of those of these entries that were undone, given or taken back, since."""
    return _undone(entries, undone_batches.endings_of(entries))


def _undone(entries: Sequence[AuditEntry], endings: undone_batches.Endings) -> set[int]:
    ended, given = _runs_of(entries), _runs_after(entries, *GIVEN)
    turned = ended_by_hand.given_back(set(ended.values()))
    turned |= ended_by_hand.taken_by_hand(set(given.values()))
    undone = undoing.undone_changes(entries) | undone_batches.undone(entries, endings)
    return undone | {pk for pk, number in [*ended.items(), *given.items()] if number in turned}


def _note_step(line: Any, step: steps.Step) -> None:
    line.left = len(step.left)
    line.all_left = len(step.left) == len(step.entries)
    line.stay = undo_offers.stay(line.act, step)


def address_of_batch(number: int, back: str) -> str:
    """Return the address of the page that shows what undoing a batch does, and then does it."""
    return f"{reverse('admin:undo-batch')}?{urlencode({'number': number, BACK: back})}"


def links_to_forms(
    request: HttpRequest, entries: Sequence[AuditEntry]
) -> dict[int, list[tuple[str, str, str]]]:
    """Return the links to the forms that turn back what a person did by hand, by entry.

    They give again what was ended, end what was given, and move back what was moved.
    """
    ended, given = _runs_of(entries), _runs_after(entries, *GIVEN)
    moved = _runs_after(entries, Act.ACCESS_MOVED)
    sources = {
        moved[each.pk]: str((each.before or {}).get("email", ""))
        for each in entries
        if each.pk in moved
    }
    found = [
        (ended, by_hand.links_to_give_back(request, set(ended.values()))),
        (given, by_hand.links_to_take_back(request, set(given.values()))),
        (moved, by_hand.links_to_move_back(request, sources)),
    ]
    return {
        pk: [links[number]]
        for runs, links in found
        for pk, number in runs.items()
        if number in links
    }


def _runs_after(entries: Iterable[AuditEntry], *acts: Act) -> dict[int, int]:
    """Return {entry: number of a run that gave or moved access}, as entries of the acts keep it."""
    found = {each.pk: (each.after or {}).get(RUN) for each in entries if each.act in acts}
    return {pk: number for pk, number in found.items() if isinstance(number, int)}


def _runs_of(entries: Iterable[AuditEntry]) -> dict[int, int]:
    return {entry.pk: number for entry in entries if (number := _run_of(entry))}


def _run_of(entry: AuditEntry) -> int | None:
    """Return the number of the run that ended what this entry is about, None for other acts."""
    if entry.act == Act.ENDED_NOW and entry.number.isdecimal():
        return int(entry.number)
    found = (entry.before or {}).get(RUN) if entry.act == Act.ACCESS_ENDED else None
    return found if isinstance(found, int) else None


def _is_undone(line: Iterable[AuditEntry], undone: Container[int]) -> bool:
    """Return whether all of the line was undone; of a batch, what it did to each event."""
    line = list(line)
    of_batch = [each for each in line if each.act in DONE and batch_links.number_of(each)]
    return all(each.pk in undone for each in of_batch or line)


def _is_step(line: Any, last: Container[int]) -> bool:
    """Whether the line is of several rules at once, and some have not changed since."""
    at_once = line.step is not None or len({entry.at for entry in line.line}) == 1
    several = len(line.line) > 1 and line.act in steps.OF_RULES
    return several and at_once and any(entry.pk in last for entry in line.line)


def _products(lines: Iterable[Any]) -> Sequence[Product]:
    """Return the products that exist of those that were renamed or deleted."""
    acts = {Act.PRODUCT_CHANGED, Act.PRODUCT_DELETED}
    changed = [line for line in lines if line.act in acts and line.number.isdecimal()]
    numbers = [int(line.number) for line in changed]
    known = [(line.before or {}).get("external_id", "") for line in changed]
    found = Product.objects.filter(Q(pk__in=numbers) | Q(external_id__in=known))
    return list(found) if changed else ()


def _can_undo_product(entry: Any, products: Iterable[Product], step: steps.Step) -> bool:
    same = next((each for each in products if str(each.pk) == entry.number), None)
    if entry.act == Act.PRODUCT_DELETED:
        there = same or any(product_undoing.is_again(each, entry) for each in products)
        return bool(step.left) or not there
    if entry.act != Act.PRODUCT_CHANGED or same is None:
        return False
    return product_undoing.is_renaming(entry) and product_undoing.is_named_by(same, entry)
