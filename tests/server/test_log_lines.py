"""Log lines in both formats: the request that caused them, and nothing secret."""

import json
import logging
import sys

import pytest
from django.http import HttpResponse

from config.logging import FORMATTERS, JsonFormatter
from config.request_log import identify
from config.staff import roles
from tests.support.pages import client_of, person

pytestmark = pytest.mark.first_database
log = logging.getLogger("tests.log_lines")


def record(name: str, **facts: object) -> logging.LogRecord:
    made = log.makeRecord(log.name, logging.WARNING, __file__, 1, name, (), None, extra=facts)
    made.created = 1_800_000_000.25
    return made


def test_a_line_of_json_has_time_level_logger_event_and_its_facts():
    line = JsonFormatter().format(record("run_ended", run=5, status="done", paused=None))
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250+00:00",
        "level": "WARNING",
        "logger": "tests.log_lines",
        "event": "run_ended",
        "run": 5,
        "status": "done",
        "paused": None,
    }


def test_no_fact_takes_the_place_of_the_event_and_none_begins_another_line():
    said = JsonFormatter().format(record("true", event='false\n{"event": "x"}', level="DEBUG"))
    assert "\n" not in said
    assert json.loads(said)["event"] == "true"
    assert json.loads(said)["level"] == "WARNING"


@pytest.mark.parametrize("name", FORMATTERS)
def test_a_traceback_says_where_it_broke_and_quotes_no_customer(name: str):
    customer = "dana@example.com"
    made = record("action_broke", run=5)
    try:
        raise KeyError(customer)
    except KeyError:
        made.exc_info = sys.exc_info()
    line = FORMATTERS[name]().format(made)
    assert "KeyError" in line
    assert "test_log_lines.py" in line
    assert customer not in line


@pytest.mark.parametrize("name", FORMATTERS)
def test_the_rest_of_a_webhook_address_is_hidden_in_every_part_of_a_line(name: str):
    address = "/hooks/samcart/a-secret-of-the-webhook"
    line = FORMATTERS[name]().format(
        record(f"Not Found: {address}", path=f'{address}"x', parts=[address])
    )
    assert "a-secret" not in line
    assert line.count("/hooks/...") == 3
    assert name == "line" or json.loads(line)["parts"] == "['/hooks/...']"


@pytest.mark.parametrize("name", FORMATTERS)
def test_lines_of_a_request_name_its_id_and_who_asked_and_later_lines_do_not(name: str, rf):
    formatter = FORMATTERS[name]()
    lines = []

    def view(request):
        lines.append(formatter.format(record("during")))
        return HttpResponse()

    asked = rf.get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9")
    first, second = (identify(view)(asked)["X-Request-ID"] for _ in range(2))
    assert first != second
    assert first in lines[0]
    assert second in lines[1]
    assert all("203.0.113.9" in line for line in lines)
    later = formatter.format(record("afterwards"))
    assert "203.0.113.9" not in later
    assert second not in later


def test_what_a_client_calls_its_request_is_not_believed(rf):
    asked = rf.get("/", HTTP_X_REQUEST_ID="one of theirs")
    assert identify(lambda _: HttpResponse())(asked)["X-Request-ID"].isalnum()


@pytest.mark.django_db
def test_the_webhook_and_the_pages_answer_with_the_id(shop):
    answers = [shop.post(b"{}"), shop.client.get("/admin/login/"), shop.client.get("/healthz")]
    assert len({answer["X-Request-ID"] for answer in answers}) == 3


@pytest.mark.django_db
def test_a_refused_page_is_told_by_its_name_and_the_persons_number(caplog):
    somebody = person(roles.VIEWER)
    assert client_of(somebody).get("/admin/queue/").status_code == 403
    (line,) = (each for each in caplog.records if each.message == "page_refused")
    assert (line.user, line.page) == (somebody.pk, "admin:queue")
