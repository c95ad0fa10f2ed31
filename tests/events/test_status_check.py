"""`manage.py status --check` for cron and Nagios: nothing and 0, or sentences and 1."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from events.alerts.problems import Problem, ProblemCode
from events.alerts.sentences import sentence
from events.models import Canary, Worker
from integrations.models import Integration, Marketplace
from tests.support import factories, queued

Step = Canary.Step


def check(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines."""
    out = StringIO()
    try:
        call_command("status", *arguments, stdout=out)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


@pytest.fixture
def well(db: None, settings: Any) -> None:
    """A worker works, and nothing waits."""
    settings.CANARY = True
    Worker.objects.create(name="one", seen_at=Now())


def test_it_says_nothing_while_all_is_well(well):
    assert check("--check") == (0, [])


def test_each_thing_that_is_wrong_has_a_sentence_and_what_stops_sales_is_first(well):
    course = factories.DestinationFactory.create()
    queued.run(course, status="failed")
    course.integration.connection = Integration.Connection.REFUSED
    course.integration.save()
    code, lines = check("--check")
    assert code == 1
    assert [line.partition(".")[0] for line in lines] == [
        f"{course.integration.name} does not accept the key",
        "1 action failed or waits for a person",
    ]
    out = StringIO()
    call_command("status", "--json", stdout=out)
    problems = json.loads(out.getvalue())["problems"]
    assert [each["sentence"] for each in problems] == lines
    assert [each["code"] for each in problems] == ["key_refused", "needs_a_person"]


@pytest.mark.parametrize(
    ("failures", "enabled", "wrong"), [(1, True, 0), (2, True, 1), (2, False, 0)]
)
def test_a_canary_that_failed_twice_in_a_row_is_wrong_where_one_is_wanted(
    well, settings, failures: int, enabled: bool, wrong: int
):
    account = factories.MarketplaceFactory.create(name="Main shop")
    settings.CANARY, settings.PUBLIC_URL = enabled, "https://admit.example.com"
    Canary.objects.create(
        marketplace=account, next_at=Now(), step=Step.DNS, failures=failures, passed_at=None
    )
    code, lines = check("--check")
    assert code == wrong
    assert [line[:98] for line in lines] == [
        "Admit's hourly test event for Main shop did not get through. admit.example.com was not "
        "found (DNS)"
    ] * wrong


def test_a_worker_that_was_not_seen_for_three_minutes_is_wrong(well):
    Worker.objects.update(seen_at=Now() - timedelta(seconds=150))
    assert check("--check") == (0, [])
    Worker.objects.update(seen_at=Now() - timedelta(seconds=200))
    code, lines = check("--check")
    assert (code, lines[0][:30]) == (1, "No worker has been seen since ")


def test_a_worker_that_was_never_seen_is_missing_soon_after_the_account_was_added(well):
    Worker.objects.all().delete()
    account = factories.MarketplaceFactory.create()
    assert check("--check") == (0, [])
    Marketplace.objects.filter(pk=account.pk).update(created_at=Now() - timedelta(seconds=200))
    code, lines = check("--check")
    assert (code, lines[0][:24]) == (1, "No worker has been seen ")


@pytest.mark.first_database
@pytest.mark.parametrize("step", Step)
def test_each_step_of_the_canary_has_a_sentence_with_what_to_do(step: Canary.Step):
    facts = {"name": "Main shop", "host": "admit.example.com", "step": step.value, "detail": "502"}
    said = sentence(Problem(ProblemCode.CANARY_FAILED, "1", facts=facts))
    assert said.startswith("Admit's hourly test event for Main shop did not get through. ")
    assert "{" not in said
    assert any(word in said for word in ("Check", "put", "Call", "tries it again"))
