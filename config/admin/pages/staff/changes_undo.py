"""What of each line of Changes can be undone, and what came of it."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from config.admin.menu import allowed
from config.admin.pages import bulk_actions
from config.admin.pages.customers import by_hand
from config.admin.pages.rules.undoing import undo_offers
from config.admin.pages.staff import changes_buyers, undone_batches
from config.admin.pages.staff.change_line import ChangeLine, Undo
from config.admin.parts import batch_links
from config.admin.parts.buttons import BACK
from events.access import ended_by_hand
from events.models import Batch
from events.reports.batches import DONE
from integrations.audit import Act
from integrations.audit_values import RUN
from integrations.models import AuditEntry, Customer, Product
from rules.history import product_undoing, steps, undoing

GIVEN = (Act.ACCESS_GIVEN, Act.ACCESS_GIVEN_BACK)
NO_STEP = steps.Step((), (), 0, 0)


def lines(
    request: HttpRequest,
    groups: Sequence[Sequence[AuditEntry]],
    customers: Mapping[int, Customer],
) -> list[ChangeLine]:
    """Return the lines of these groups of entries. Takes the same queries for any number.

    `customers` are those whom the entries are about, by the entry's pk.
    """
    entries = [*chain.from_iterable(groups)]
    batches = batch_links.existing_batches(request, entries)
    buyers = changes_buyers.of_lines(request, groups)
    undid = undone_by_these(group[0] for group in groups)
    undoings = undoing.undoings(entries)
    found = []
    for group, undo in zip(groups, _undos(request, groups, batches), strict=True):
        batch = _batch_of(group, batches)
        results = batch_links.link(request, batch.pk) if batch else ""
        newest = group[0].pk
        told = buyers.get(newest, ())
        both = undid.get(newest), undoings.get(newest)
        found.append(ChangeLine(group, customers, undo, results, told, *both))
    return found


def undone_by_these(entries: Iterable[AuditEntry]) -> dict[int, AuditEntry]:
    """Return the entries that these undid, by the pk of the one that did it.

    Takes one query, none if these undid nothing.
    """
    undone = {each.pk: each.undoes for each in entries if each.undoes}
    known = AuditEntry.objects.in_bulk(undone.values()) if undone else {}
    return {pk: known[number] for pk, number in undone.items() if number in known}


def _undos(
    request: HttpRequest, groups: Sequence[Sequence[AuditEntry]], batches: Mapping[int, Batch]
) -> Iterator[Undo]:
    entries = [*chain.from_iterable(groups)]
    endings = undone_batches.endings_of(entries)
    undone = _undone(entries, endings)
    settled = undone | undone_batches.open_again(endings)
    last = steps.newest(entries)
    of_steps = steps.every(
        group[0] for group in groups if _is_step(group, last) or group[0].act == Act.PRODUCT_DELETED
    )
    products = _products([group[0] for group in groups])
    whole_steps = {group[0]: of_steps.get(group[0].pk, NO_STEP).entries for group in groups}
    allowed_ = undo_offers.which_may_be_undone(request, whole_steps)
    forms = links_to_forms(request, [each for each in entries if each.pk not in undone])
    may_undo_batches = allowed(request, bulk_actions.UNDOES)
    for group in groups:
        newest, is_single = group[0], len(group) == 1
        step = of_steps.get(newest.pk, NO_STEP)
        of_rules = step if newest.act in steps.OF_RULES else NO_STEP
        batch = _batch_of(group, batches)
        is_left = batch and batch.new_ids and not _is_undone(group, settled)
        yield Undo(
            is_done=_is_undone(group, undone),
            is_possible=is_single
            and (newest.pk in last or _can_undo_product(newest, products, step)),
            is_allowed=newest.pk in allowed_,
            left=len(of_rules.left),
            is_whole=len(of_rules.left) == len(of_rules.entries),
            stay=undo_offers.stay(newest.act, of_rules),
            batch=batch.pk if batch and is_left and may_undo_batches else None,
            forms=forms.get(newest.pk, ()) if is_single else (),
        )


def _batch_of(group: Iterable[AuditEntry], batches: Mapping[int, Batch]) -> Batch | None:
    """Return the batch that all of these entries are of, None if there is none."""
    numbers = {batch_links.number_of(entry) for entry in group}
    return batches.get(numbers.pop() or 0) if len(numbers) == 1 else None


def undone_entries(entries: Sequence[AuditEntry]) -> set[int]:
    """Return the IDs of those of these entries that were undone, given or taken back, since."""
    return _undone(entries, undone_batches.endings_of(entries))


def _undone(entries: Sequence[AuditEntry], endings: undone_batches.Endings) -> set[int]:
    ended, given = _runs_of(entries), _runs_after(entries, *GIVEN)
    turned = ended_by_hand.given_back(set(ended.values()))
    turned |= ended_by_hand.taken_by_hand(set(given.values()))
    undone = undoing.undone_changes(entries) | undone_batches.undone(entries, endings)
    return undone | {pk for pk, number in [*ended.items(), *given.items()] if number in turned}


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


def _is_step(group: Sequence[AuditEntry], last: Container[int]) -> bool:
    """Whether the entries are of several rules at once, and some have not changed since."""
    newest = group[0]
    at_once = newest.step is not None or len({entry.at for entry in group}) == 1
    several = len(group) > 1 and newest.act in steps.OF_RULES
    return several and at_once and any(entry.pk in last for entry in group)


def _products(entries: Iterable[AuditEntry]) -> Sequence[Product]:
    """Return the products that exist of those that these entries renamed or deleted."""
    acts = {Act.PRODUCT_CHANGED, Act.PRODUCT_DELETED}
    changed = [entry for entry in entries if entry.act in acts and entry.number.isdecimal()]
    numbers = [int(entry.number) for entry in changed]
    known = [(entry.before or {}).get("external_id", "") for entry in changed]
    found = Product.objects.filter(Q(pk__in=numbers) | Q(external_id__in=known))
    return list(found) if changed else ()


def _can_undo_product(entry: AuditEntry, products: Iterable[Product], step: steps.Step) -> bool:
    same = next((each for each in products if str(each.pk) == entry.number), None)
    if entry.act == Act.PRODUCT_DELETED:
        there = same or any(product_undoing.is_again(each, entry) for each in products)
        return bool(step.left) or not there
    if entry.act != Act.PRODUCT_CHANGED or same is None:
        return False
    return product_undoing.is_renaming(entry) and product_undoing.is_named_by(same, entry)
