"""Courses and bundles that a file enters by hand because Thinkific does not list them."""

from integrations.models import Destination, Integration
from integrations.thinkific import catalog
from rules.configuration.entries import Configuration, IntegrationEntry


def write(entry: IntegrationEntry, row: Integration) -> list[str]:
    """Store the file's hand-entered courses and bundles that Thinkific does not list.

    Returns a sentence for each that is new or renamed.
    """
    known = {(each.kind, each.external_id): each for each in row.destinations.all()}
    told = []
    for wanted in entry.destinations:
        there = known.get((wanted.kind.value, wanted.number))
        if there and (there.listed or (there.by_hand and there.name == wanted.name)):
            continue
        entered = catalog.by_number(row, wanted.kind.value, wanted.number, wanted.name)
        catalog.enter(entered)
        told.append(f"Enter by hand {described(entered)}.")
    return told


def described(row: Destination) -> str:
    """Return, for example, "course 501 (Course Two) on Art Academy"."""
    return f"{row.kind} {row.external_id} ({row}) on {row.integration}"


def not_named(configuration: Configuration) -> list[Destination]:
    """Return the stored hand-entered courses and bundles that the file does not name."""
    named = {
        (entry.name, each.kind.value, each.number)
        for entry in configuration.integrations
        for each in entry.destinations
    }
    by_hand = Destination.objects.filter(by_hand=True).select_related("integration").order_by("pk")
    return [
        each
        for each in by_hand
        if (each.integration.name, each.kind, each.external_id) not in named
    ]
