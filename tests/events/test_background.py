"""The worker's side jobs: once a second it asks whether there is something to do."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.comparison import comparing
from events.models import AlertChannel, AlertMessage, AlertRound
from events.worker import background
from tests.support.world import World


def a_moment_ago() -> datetime:
    # SQLite's own clock knows milliseconds alone, and may be behind a time of Python's.
    return timezone.now() - timedelta(seconds=1)


def _a_comparison(world: World) -> None:
    comparing.start(world.integration, by="test")


def _a_look(world: World) -> None:
    AlertRound.objects.create(pk=AlertRound.ONLY, next_at=a_moment_ago())


def _a_message(world: World) -> None:
    person = User.objects.create(username="me@example.com")
    channel = AlertChannel.objects.create(person=person, kind=AlertChannel.Kind.EMAIL)
    AlertMessage.objects.create(channel=channel, uuid=uuid4(), next_attempt_at=a_moment_ago())


@pytest.mark.parametrize("make", [_a_comparison, _a_look, _a_message])
def test_whether_there_is_any_is_asked_with_one_query(world, make):
    assert not background.due()
    make(world)
    with CaptureQueriesContext(connection) as asked:
        assert background.due()
    assert len(asked) == 1
