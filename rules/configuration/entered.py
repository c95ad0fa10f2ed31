"""Courses and bundles that a file enters by hand: those that Thinkific does not list."""

from integrations.models import Destination, Integration
from integrations.thinkific import catalog
from rules.configuration.entries import Configuration, IntegrationEntry


def write(entry: IntegrationEntry, row: Integration) -> list[str]:
    """Enter what the file enters by hand and Thinkific does not list; a sentence for each."""
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
    """ "course 501 (Course Two) on Art Academy" """
    return f"{row.kind} {row.external_id} ({row}) on {row.integration}"


def not_named(configuration: Configuration) -> list[Destination]:
    """What was entered by hand and the file does not name."""
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
