"""What is written about actions can be read in each language."""

import pytest
from django.utils import translation

from events.execution import retry_by_hand
from events.models import EventLog, RuleRun
from integrations.thinkific.sandbox.faults import Fault
from tests.support import queued
from tests.support.shop import Shop
from tests.support.world import World


def in_spanish(run: RuleRun) -> str:
    with translation.override("es"):
        return queued.again(run).message


@pytest.mark.parametrize(
    ("status", "english", "spanish"),
    [
        (
            404,
            "Thinkific answers that something was not found: it may not know a new student",
            "Thinkific responde que no se encontró algo: puede que aún no conozca",
        ),
        (
            503,
            "Thinkific answered with an error of its own. It may have been done anyway, so Admit "
            "looks before it tries again.",
            "Thinkific respondió con un error propio.",
        ),
    ],
)
def test_what_thinkific_answered_is_read_in_the_language_of_each_reader(
    world: World, status: int, english: str, spanish: str
):
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=status))
    queued.drain()
    assert queued.again(made).message.startswith(english)
    assert in_spanish(made).startswith(spanish)


def test_what_a_reader_of_one_language_dismissed_another_one_reads_too(world: World):
    made = queued.run(world.course())
    world.sandbox.faults.add(Fault("status", status=404))
    queued.drain()
    with translation.override("es"):
        assert retry_by_hand.dismiss([queued.again(made)], by="ada") == 1
    before = "Thinkific answers that something was not found:"
    assert queued.again(made).message.startswith(f"Dismissed by ada. Before: {before}")
    assert in_spanish(made).startswith("La descartó ada. Antes: Thinkific responde que no se")


def test_an_event_says_in_the_language_of_each_reader_why_nothing_was_done(shop: Shop):
    event = shop.sell()
    assert event.reason == "No rule matched this event, so nothing was sent."
    with translation.override("es"):
        read = EventLog.objects.get(pk=event.pk)
        assert read.reason.startswith("Ninguna regla coincidía")
