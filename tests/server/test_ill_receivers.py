"""Faulty receivers beside a healthy one and a school: real workers, real sockets."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.notify_url import signature
from integrations.thinkific.sandbox import School
from tests.faults.database import Database
from tests.support import live
from tests.support import receiver as receivers
from tests.support.receiver import Receiver
from tests.support.wire import closed_port

BUYERS = 10
SECRET = signature.new_secret()
SETTINGS = {
    "ALLOW_PRIVATE_NOTIFY_URLS": "true",
    "LEASE_SECONDS": "27",  # which makes the deadline of a call six seconds
    "RETRY_DELAYS": "0,600",
}
# What each receiver does, and the code of an action that met it.
ILL = {
    "silent": (receivers.silent, "timed_out"),
    "dripping": (receivers.drips_headers(), "timed_out"),
    "redirecting": (receivers.redirects("/elsewhere"), "redirected"),
    "failing": (receivers.answers(500), "receiver_failed"),
    "gone": (receivers.gone, "receiver_gone"),
    "without end": (receivers.never_stops, "posted"),
    "healthy": (receivers.healthy, "posted"),
}


@pytest.fixture
def running() -> Iterator[dict[str, Receiver]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(Receiver(SECRET, behavior))
            for name, (behavior, _) in ILL.items()
        }


@pytest.fixture
def admit(tmp_path: Path) -> Iterator[tuple[live.Installation, School]]:
    with contextlib.ExitStack() as stack:
        sandbox, acme = stack.enter_context(live.school())
        settings: dict[str, Any] = SETTINGS | {"THINKIFIC_API_URL": sandbox.url}
        yield stack.enter_context(live.installation(tmp_path, **settings)), acme


def configuration(urls: dict[str, str]) -> str:
    """A file by which each purchase is posted to each of these addresses."""
    lines = ["integrations:"]
    for name, url in urls.items():
        lines.append(f'  - {{name: {name}, app: notify_url, url: "{url}", secret: "${{SIGNS}}"}}')
    lines.append("rules:")
    for name in urls:
        lines.append(
            "  - {marketplace: Main shop, trigger: product_purchased, "
            f"integration: {name}, action: send_http_post}}"
        )
    return "\n".join(lines)


def settled(admit: live.Installation) -> int:
    """With how many integrations an action was tried and has ended, or waits."""
    sql = (
        "SELECT count(DISTINCT integration_id) FROM events_rulerun"
        " WHERE attempts > 0 AND status <> 'running'"
    )
    return Database(admit.database).number(sql)


def codes(admit: live.Installation) -> dict[str, set[str]]:
    """{integration: codes of its actions that were tried and have ended}, as scripts see them."""
    found: dict[str, set[str]] = {}
    for event in admit.events():
        for run in event["runs"]:
            if run["attempts"] and run["status"] != "running":
                place = run["rule"].rpartition(", ")[2]
                found.setdefault(place, set()).add(run["code"])
    return found


@pytest.mark.slow
def test_neither_a_school_nor_a_healthy_receiver_waits_for_those_that_are_ill(
    admit, running, tmp_path
):
    installed, acme = admit
    urls = {name: receiver.url for name, receiver in running.items()}
    urls["dead"] = f"http://127.0.0.1:{closed_port()}/"
    file = tmp_path / "receivers.yaml"
    file.write_text(configuration(urls))
    applied = installed.manage("apply_config", str(file), SIGNS=SECRET)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert SECRET not in applied.stdout

    up = installed.up()
    for number in range(BUYERS):
        assert installed.sell(f"buyer{number}@example.com", order=number + 1) == 200

    def all_served() -> bool:
        enrolled = all(live.has_access(acme, f"buyer{n}@example.com") for n in range(BUYERS))
        return enrolled and len(running["healthy"].requests) == BUYERS

    live.until(all_served, what=up.output())
    expected = {name: {code} for name, (_, code) in ILL.items()} | {"dead": {"unreachable"}}
    # The school is one as well.
    live.until(lambda: settled(installed) > len(expected), what=up.output())
    ended = codes(installed)
    assert {name: ended[name] for name in expected} == expected
    assert max(receiver.most_at_once for receiver in running.values()) <= 2
    assert len(set(running["healthy"].verified())) == BUYERS
    assert up.terminate() == 0, up.output()
    assert SECRET.removeprefix("whsec_") not in up.output()
    assert "Traceback" not in up.output()
