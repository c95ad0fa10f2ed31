"""/metrics, as Prometheus reads it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from events.alerts.problems import ProblemCode
from events.models import Alert, Canary, Worker
from events.receiving import answer_counts
from integrations.calls import rate_limit
from integrations.models import ApiCall, CallBudget
from tests.support import factories, live
from tests.support.queued import START, run

TOKEN = "a-token-of-the-monitor-for-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _with_token(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.SPOOL_DIR = tmp_path / "spool"
    settings.SPOOL_DIR.mkdir()
    counts = tmp_path / "counts"
    counts.mkdir()
    monkeypatch.setenv(answer_counts.FOLDER, str(counts))
    monkeypatch.setattr(answer_counts, "_own", None)


def scrape(client: Any) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    answer = client.get("/metrics", headers=HEADERS)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name.removeprefix("admit_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.first_database
@pytest.mark.parametrize(
    "header", ["", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_without_the_token_nothing_is_shown(client, header: str):
    answer = client.get("/metrics", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert b"admit_" not in answer.content


@pytest.mark.first_database
def test_without_the_setting_there_is_no_such_page(client, settings):
    settings.METRICS_TOKEN = ""
    for header in ("Bearer ", "Bearer", f"Bearer {TOKEN}"):
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 404


@pytest.mark.django_db
def test_it_answers_by_number_as_the_others_do(client):
    assert client.get("/metrics", headers=HEADERS, HTTP_HOST="10.1.2.3:8000").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_database_out_of_reach_is_said(client, monkeypatch):
    connection.close()

    def refuse(self: BaseDatabaseWrapper) -> None:
        raise DatabaseError("could not connect to server: dana@example.com")

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)
    answer = client.get("/metrics", headers=HEADERS)
    assert (answer.status_code, answer.content) == (503, b"The database cannot be reached.\n")


@pytest.mark.django_db
def test_an_empty_admit_has_every_number_at_zero(client):
    found = scrape(client)
    assert found["webhook_answers_total", "200"] == 0
    assert found["deliveries_waiting",] == found["oldest_due_seconds",] == 0
    assert found["actions_open", "failed"] == found["actions_5m", "done"] == 0
    assert found["spool_files", "waiting"] == 0
    assert ("worker_heartbeat_age_seconds",) not in found


@pytest.mark.django_db
def test_what_came_in_is_counted(client, shop):
    for _ in range(2):
        assert shop.post(b"{}").status_code == 200
    assert shop.post(b"{}", secret="a-secret-that-does-not-exist-here").status_code == 404
    before = scrape(client)
    assert before["webhook_answers_total", "200"] == 2
    assert before["webhook_answers_total", "404"] == 1
    assert before["deliveries_waiting",] == before["deliveries_5m",] == 2


@pytest.mark.django_db
def test_repeats_are_counted(world, client):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    for _ in range(3):
        world.sell("10_product", order__id=4711)
    assert scrape(client)["repeats_5m",] == 2
    assert scrape(client)["deliveries_waiting",] == 0


@pytest.mark.django_db
def test_actions_are_counted_by_state_and_old_ones_only_while_open(client):
    course, now = factories.DestinationFactory.create(), timezone.now()
    for status in ("waiting", "failed", "failed", "held", "done"):
        run(course, status=status, next_attempt_at=now)
    lately = (now - START).total_seconds() - 60
    run(course, at=lately, status="done")
    run(course, at=lately, status="waiting", next_attempt_at=now - timedelta(seconds=90))
    found = scrape(client)
    opened = {state: found["actions_open", state] for state in ("waiting", "failed", "held")}
    assert opened == {"waiting": 2, "failed": 2, "held": 1}
    assert (found["actions_5m", "done"], found["actions_5m", "waiting"]) == (1, 1)
    assert ("actions_open", "done") not in found
    assert 90 <= found["oldest_due_seconds",] < 3600


@pytest.mark.django_db
def test_calls_are_counted_by_integration_and_outcome(client):
    site = factories.IntegrationFactory.create(name='Art "Academy"')
    old = timezone.now() - timedelta(minutes=6)
    for status, at in (
        (201, None),
        (204, None),
        (429, None),
        (503, None),
        (None, None),
        (200, old),
    ):
        ApiCall.objects.create(
            integration=site,
            method="GET",
            url="https://api.thinkific.com/",
            status=status,
            milliseconds=1,
            sent_at=at or timezone.now(),
        )
    found = scrape(client)
    calls = {key[2]: value for key, value in found.items() if key[0] == "calls_5m"}
    assert calls == {"2xx": 2, "429": 1, "5xx": 1, "no_answer": 1}
    assert ("calls_5m", 'Art "Academy"', "2xx") in found


@pytest.mark.django_db
def test_what_is_left_of_each_budget_is_shown(client, settings):
    settings.THINKIFIC_CALLS_PER_MINUTE = 110
    site = factories.IntegrationFactory.create(name="Art Academy")
    receiver = factories.ReceiverFactory.create(name="My CRM")
    off = factories.IntegrationFactory.create(name="Off", enabled=False)
    full = scrape(client)
    # Of 110 the pace itself costs one: no window of a minute ever holds more.
    assert full["calls_left", "Art Academy"] in {109, 110}
    assert ("calls_left", off.name) not in full
    for _ in range(2):
        rate_limit.take_slot(site.pk, max_wait=10)
    assert full["calls_left", "Art Academy"] - scrape(client)["calls_left", "Art Academy"] in {1, 2}
    CallBudget.objects.update(next_slot=rate_limit.EpochNow() + 3600)
    assert scrape(client)["calls_left", "Art Academy"] == 0
    rate_limit.block(site.pk, CallBudget.Blocked.KEY, 60)
    paused = scrape(client)
    assert paused["calls_left", "Art Academy"] == 0
    assert paused["integration_paused", "Art Academy"] == 1
    assert paused["integration_paused", receiver.name] == 0


@pytest.mark.django_db
def test_the_workers_sign_of_life_and_this_machine_are_shown(client, settings):
    Worker.objects.create(name="one", seen_at=Now() - timedelta(seconds=40))
    (settings.SPOOL_DIR / "1.known").write_bytes(b"")
    (settings.SPOOL_DIR / "2.known.aside").write_bytes(b"")
    found = scrape(client)
    assert 40 <= found["worker_heartbeat_age_seconds",] < 3600
    assert (found["spool_files", "waiting"], found["spool_files", "set_aside"]) == (1, 1)
    free = [value for key, value in found.items() if key[0] == "disk_free_bytes"]
    assert free
    assert min(free) > 0


@pytest.mark.django_db
def test_open_alerts_are_counted_by_their_code(client):
    now = timezone.now()
    for number, announced, ended in (
        (1, now, None),
        (2, now, None),
        (3, now, now),
        (4, None, None),
    ):
        Alert.objects.create(
            code="key_refused",
            subject=str(number),
            began_at=now,
            seen_at=now,
            announced_at=announced,
            ended_at=ended,
        )
    found = scrape(client)
    alerts = {key[1]: value for key, value in found.items() if key[0] == "alerts_open"}
    assert set(alerts) == {code.value for code in ProblemCode}
    assert {code: number for code, number in alerts.items() if number} == {"key_refused": 2}


@pytest.mark.django_db
def test_the_age_of_the_last_canary_is_shown_where_there_are_any(client, shop, settings):
    passed = Now() - timedelta(minutes=30)
    Canary.objects.create(marketplace=shop.marketplace, next_at=Now(), passed_at=passed)
    sample = "canary_age_seconds", shop.marketplace.name
    assert sample not in scrape(client)
    settings.CANARY = True
    assert 1800 <= scrape(client)[sample] < 3600


@pytest.mark.django_db
def test_each_metric_is_in_the_guide_and_no_other(client, settings):
    settings.CANARY = True
    Worker.objects.create(name="one", seen_at=Now())
    answer = client.get("/metrics", headers=HEADERS).content.decode()
    guide = (live.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^# TYPE admit_(\w+)", answer, re.MULTILINE))
    assert shown == set(re.findall(r"\| `admit_(\w+)[{`]", guide))


@pytest.mark.first_database
def test_the_answers_of_all_processes_are_added_up_and_what_cannot_be_counted_stops_none(
    monkeypatch, tmp_path
):
    for _ in range(2):  # a process that was started again has another file
        monkeypatch.setattr(answer_counts, "_own", None)
        for code in answer_counts.CODES:
            answer_counts.add(code)
    assert set(answer_counts.totals().values()) == {2}
    monkeypatch.setattr(answer_counts, "_own", None)
    monkeypatch.setenv(answer_counts.FOLDER, str(tmp_path / "missing"))
    answer_counts.add(200)
    assert set(answer_counts.totals().values()) == {0}
    monkeypatch.delenv(answer_counts.FOLDER)
    answer_counts.add(200)
    assert answer_counts.totals() == {}
