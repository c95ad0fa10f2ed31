"""`/metrics`, as Prometheus reads it: what the database and this machine's disks hold now.

There are several processes, so nothing is counted in their memory: each scrape queries the
database, through indexes only. Row counts are gauges, because rows are removed; only the webhook's
answers are a counter.
"""

import hmac
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from django.conf import settings
from django.db import Error, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from events.alerts import rounds
from events.alerts.problems import ProblemCode
from events.models import Canary, Delivery, EventLog, RuleRun, Worker
from events.receiving import answer_counts, disk, spool_contents
from events.reports.system import backlog
from integrations import app_registry
from integrations.calls import rate_limit
from integrations.database.database_timeout import DatabaseTimeout
from integrations.models import ApiCall, CallBudget

PLAIN = "text/plain; charset=utf-8"
LATELY = timedelta(minutes=5)
Status = RuleRun.Status
OPEN = (Status.WAITING, Status.RUNNING, Status.FAILED, Status.HELD)


def show(request: HttpRequest) -> HttpResponse:
    """Return the metrics, for callers with METRICS_TOKEN; 404 without that setting."""
    if not settings.METRICS_TOKEN:
        return _said(404, "There is no such page.")
    if not _allowed(request):
        answer = _said(401, "Send the token of METRICS_TOKEN: Authorization: Bearer ...")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Admit())
    try:
        with DatabaseTimeout(settings.STORE_SECONDS):
            return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    except Error:
        connection.close()
        return _said(503, "The database cannot be reached.")


def _allowed(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return same and kind.casefold() == "bearer"


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type=PLAIN)


class Admit(Collector):
    """Reads all values at each scrape."""

    def collect(self) -> Iterator[Metric]:
        yield from _received()
        yield from _actions()
        yield from _calls()
        yield from _alerts()
        yield from _machine()


def _gauge(name: str, text: str, values: Mapping[str, float], label: str) -> GaugeMetricFamily:
    found = GaugeMetricFamily(f"admit_{name}", text, labels=[label])
    for key, value in values.items():
        found.add_metric([key], value)
    return found


def _received() -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "admit_webhook_answers",
        "Answers of the webhook on this machine since `up` was started; 200 is received and kept.",
        labels=["code"],
    )
    for code, number in answer_counts.totals().items():
        answers.add_metric([str(code)], number)
    yield answers
    unread = Delivery.objects.filter(state=Delivery.State.NEW).count()
    yield GaugeMetricFamily("admit_deliveries_waiting", "Deliveries that are not read yet.", unread)
    since = timezone.now() - LATELY
    yield GaugeMetricFamily(
        "admit_deliveries_5m",
        "Deliveries that were received in the last 5 minutes, at all machines.",
        Delivery.objects.filter(received_at__gte=since).count(),
    )
    repeats = EventLog.objects.filter(status=EventLog.Status.REPEAT, received_at__gte=since)
    yield GaugeMetricFamily(
        "admit_repeats_5m",
        "Events of the last 5 minutes that SamCart had sent before.",
        repeats.count(),
    )


def _actions() -> Iterator[Metric]:
    stored = RuleRun.objects.filter(status__in=OPEN).order_by()
    open_now = dict(stored.values_list("status").annotate(Count("pk")))
    yield _gauge(
        "actions_open",
        "Actions that wait, run, failed or are held, by state.",
        {state: open_now.get(state, 0) for state in OPEN},
        "state",
    )
    lately = RuleRun.objects.filter(
        status__in=Status.values, received_at__gte=timezone.now() - LATELY
    )
    by_state = dict(lately.order_by().values_list("status").annotate(Count("pk")))
    yield _gauge(
        "actions_5m",
        "Actions of events of the last 5 minutes, by the state that they are in now.",
        {state: by_state.get(state, 0) for state in Status.values},
        "state",
    )
    yield GaugeMetricFamily(
        "admit_oldest_due_seconds",
        "For how long the oldest action has been due; 0 when none is.",
        backlog.oldest_due_seconds() or 0.0,
    )


def _calls() -> Iterator[Metric]:
    lately = ApiCall.objects.filter(sent_at__gte=timezone.now() - LATELY).order_by()
    rows = lately.values_list("integration__name", "status").annotate(Count("pk"))
    numbers: Counter[tuple[str, str]] = Counter()
    for name, status, number in rows:
        numbers[name or "", _outcome(status)] += number
    calls = GaugeMetricFamily(
        "admit_calls_5m",
        "Calls of the last 5 minutes, by the kind of their answer.",
        labels=["integration", "outcome"],
    )
    for labels, number in numbers.items():
        calls.add_metric(labels, number)
    yield calls
    budgets = CallBudget.objects.select_related("integration").filter(integration__enabled=True)
    left, paused = {}, {}
    for budget in budgets.annotate(now=rate_limit.EpochNow()):
        site = budget.integration
        allowed = app_registry.of(site).calls_per_minute()
        calls_left = rate_limit.calls_left(budget, now=budget.now, calls_per_minute=allowed)
        paused[site.name] = float(bool(budget.blocked))
        if calls_left is not None:
            left[site.name] = calls_left
    text = "Calls that may go out within the next minute; none where there is no limit."
    yield _gauge("calls_left", text, left, "integration")
    yield _gauge("integration_paused", "Whether it is paused.", paused, "integration")


def _outcome(status: int | None) -> str:
    if status is None:
        return "no_answer"
    return "429" if status == 429 else f"{status // 100}xx"


def _alerts() -> Iterator[Metric]:
    opened = Counter(alert.code for alert in rounds.open_alerts())
    numbers = {code.value: opened[code] for code in ProblemCode}
    yield _gauge("alerts_open", "What is wrong, by its code.", numbers, "code")


def _machine() -> Iterator[Metric]:
    silent = Worker.objects.silence()
    if silent is not None:
        yield GaugeMetricFamily(
            "admit_worker_heartbeat_age_seconds",
            "Since when no worker was seen; missing when none ever was.",
            silent,
        )
    if settings.CANARY:
        now, rows = timezone.now(), Canary.objects.exclude(passed_at=None)
        ages = {
            name: max(0.0, (now - at).total_seconds())
            for name, at in rows.values_list("marketplace__name", "passed_at")
            if at is not None
        }
        yield _gauge("canary_age_seconds", "Since when no canary has passed.", ages, "account")
    yield _gauge(
        "spool_files", "Files in this machine's spool folder.", spool_contents.files(), "kind"
    )
    disks = disk.disks()
    free = {each.what: each.free for each in disks}
    yield _gauge("disk_free_bytes", "Room on this machine's disks.", free, "of")
    given_up = {each.what: float(each.given_up) for each in disks}
    yield _gauge("ballast_given_up", "Whether it was, because the disk was full.", given_up, "of")
