"""Faults of Thinkific, each at every call of a purchase and of a refund, through the real `up`.

Each fault has its own school, because some faults pause the whole site.
"""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from integrations.thinkific.sandbox import Fault as Answer
from tests.faults.fault import Fault
from tests.faults.stage import Sale, Stage
from tests.support import live, wire

# The calls of a purchase and of a refund. A student who was there before is looked up.
POINTS = (
    ("POST", "^/users$"),
    ("GET", "^/users$"),
    ("POST", "^/enrollments$"),
    ("GET", "^/enrollments$"),
    ("PUT", "^/enrollments/"),
)
NEW_BUYERS = 3
# More than the default deadline of a call: 20 s.
DEFAULTS = {"LEASE_SECONDS": "90", "HEARTBEAT_TIMEOUT": "60", "RETRY_DELAYS": "0.2,1,1,1,1,1"}


def _statuses(*statuses: int) -> dict[str, dict[str, Any]]:
    return {f"s{status}": {"kind": "status", "status": status} for status in statuses}


def _limit(**headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"kind": "status", "status": 429, "headers": named}


def _kinds() -> dict[str, dict[str, Any]]:
    """Return each fault by the name of its school. Call it again each time: it contains times."""
    soon, past = time.time() + 40, time.time() - 3600
    kinds = _statuses(400, 404, 408, 422, 500, 501, 502, 503, 504, *range(520, 531))
    for applied in (False, True):
        word = "done" if applied else "lost"
        kinds[f"reset-{word}"] = {"kind": "reset", "applied": applied}
        kinds[f"hole-{word}"] = {"kind": "black_hole", "applied": applied}
        kinds[f"late-{word}"] = {"kind": "delay", "delay": 4.0, "applied": applied}
    return kinds | {
        "limit": _limit(),
        "limit-seconds": _limit(Retry_After="1"),
        "limit-date": _limit(Retry_After=formatdate(soon, usegmt=True)),
        "limit-past": _limit(Retry_After=formatdate(past, usegmt=True)),
        "limit-words": _limit(Retry_After="soon"),
        "limit-epoch": _limit(RateLimit_Reset=str(int(soon))),
        "limit-epoch-ms": _limit(RateLimit_Reset=str(int(soon * 1000))),
        "limit-small-ms": _limit(RateLimit_Reset="1500"),
        "busy": {"kind": "status", "status": 503, "headers": {"Retry-After": "1"}},
        "drop": {"kind": "drop"},
        "drip-line": {"kind": "drip_status_line", "delay": 0.2},
        "drip-headers": {"kind": "drip_headers", "delay": 0.2},
        "drip-body": {"kind": "drip_body", "delay": 0.2},
        "truncated": {"kind": "truncated"},
        "html": {"kind": "html", "applied": True},
        "garbage": {"kind": "garbage", "applied": True},
        "endless": {"kind": "endless", "applied": True},
        "bomb": {"kind": "bomb", "applied": True, "size": 64 * 1024 * 1024},
        "empty": {"kind": "empty"},
        "redirect": {"kind": "redirect", "status": 302},
        "moved": {"kind": "redirect", "status": 308},
    }


def every_answer(stage: Stage) -> float:
    """Strike with all faults at once, refund two of three, then retry what a person must retry."""
    names = list(_kinds())
    stage.open_schools(names)
    stage.up("--workers", "4")
    armed = 0
    for name, values in _kinds().items():
        # Each 429 may stop its site for a minute.
        for method, path in POINTS[2:3] if values.get("status") == 429 else POINTS:
            stage.sandbox.faults.add(Answer(method=method, path=path, school=name, **values))
            armed += 1
    bought = [sale for name in names for sale in _buyers(stage, name)]
    stage.mended()
    seconds = stage.heal()
    retried = _retry(stage)
    stage.refund([sale for sale in bought if sale.order % 3])
    for name in names:
        stage.trade(2, school=name)
    stage.heal()
    retried += _retry(stage)
    waiting = [each for each in stage.sandbox.faults.waiting if each.path != "^/users$"]
    assert not waiting, f"never struck: {waiting}"
    elsewhere = [call for call in stage.sandbox.calls if "redirected" in call.path]
    assert not elsewhere, "a redirect was followed"
    stage.notes.append(f"{len(names)} faults, {armed} times; {retried} retried by hand")
    return seconds


def drips(stage: Stage) -> float:
    """With default settings, an answer that drips or never comes ends after 20 s."""
    kinds = ["drip_status_line", "drip_headers", "drip_body", "black_hole"]
    stage.up()
    for kind in kinds:
        values: dict[str, Any] = {} if kind == "black_hole" else {"delay": 1.5}
        stage.sandbox.faults.add(Answer(kind, method="POST", path="^/users$", **values))
    stage.mended()
    stage.sell(len(kinds))
    seconds = stage.heal()
    longest = stage.database.number("SELECT max(milliseconds) FROM integrations_apicall") / 1000
    assert 19 < longest < 23, f"the longest call took {longest} s"
    stage.trade()
    stage.heal()
    stage.notes.append(f"longest call {longest:.1f} s")
    return seconds


def away(stage: Stage) -> float:
    """Thinkific refuses connections, then accepts none."""
    stage.up()
    with stage.trading(every=0.2, sellers=4):
        time.sleep(1)
        stage.sandbox.stop()
        time.sleep(4)
        with _taken_by_nobody(stage.sandbox.port):
            live.until(
                lambda: _told(stage, "could not be reached in time"),
                what="a connect that ended at its deadline",
            )
        stage.sandbox.start()
        stage.mended()
    return stage.heal()


def certificate(stage: Stage) -> float:
    """An unknown authority signs Thinkific's certificate, then one that Admit trusts."""
    folders = [stage.admit.folder / name for name in ("known", "unknown")]
    for folder in folders:
        folder.mkdir()
    (good, authority), (bad, _) = map(wire.certificate, folders)
    relay = stage.after.enter_context(wire.Wire(partial(_pass_on, stage), tls=bad))
    there = relay.url + urlsplit(stage.sandbox.url).path
    stage.up(THINKIFIC_API_URL=there, SSL_CERT_FILE=str(authority))
    stage.sell(5)
    live.until(lambda: _told(stage, "The certificate of"), what="the refusal")
    assert not stage.sandbox.calls, "a server that is not known got a call"
    relay.tls = good
    stage.mended()
    stage.trade(5)
    return stage.heal()


def no_such_name(stage: Stage) -> float:
    """The name of Thinkific's API does not resolve until the setting is corrected."""
    running = stage.up(THINKIFIC_API_URL="https://thinkific.invalid/api/public/v1")
    stage.sell(5)
    live.until(lambda: _told(stage, "could not be looked up"), what="a failed look-up")
    assert running.terminate() == 0, running.output()
    stage.up()
    stage.mended()
    stage.trade(5)
    return stage.heal()


def _told(stage: Stage, words: str) -> int:
    """Return how many calls ended in this way."""
    sql = f"SELECT count(*) FROM integrations_apicall WHERE error LIKE '%{words}%'"  # noqa: S608
    return stage.database.number(sql)


def _pass_on(stage: Stage, peer: wire.Peer) -> None:
    """Pass each request unchanged to the stand-in, which does not speak TLS."""
    while request := peer.read():
        there = http.client.HTTPConnection("127.0.0.1", stage.sandbox.port, timeout=10)
        with contextlib.closing(there):
            kept = {"authorization", "x-auth-api-key", "x-auth-subdomain", "content-type"}
            headers = {name: text for name, text in request.headers.items() if name in kept}
            there.request(request.method, request.target, request.body or None, headers)
            answer = there.getresponse()
            peer.answer(answer.status, answer.read(), {"Content-Type": "application/json"})


def _buyers(stage: Stage, school: str) -> list[Sale]:
    """Sell to new buyers and to one who was a student before."""
    bought = stage.sell(NEW_BUYERS + 1, school=school, known=1)
    assert all(sale.acknowledged for sale in bought)
    return bought


def _retry(stage: Stage) -> int:
    """Retry what a definite refusal ended, which is a person's job; return the number of runs."""
    failed = stage.database.number("SELECT count(*) FROM events_rulerun WHERE status = 'failed'")
    # A retry may meet the next fault of its school.
    for _ in POINTS:
        ended = stage.admit.manage("retry", "--failed")
        assert ended.returncode == 0, ended.stderr
        stage.heal()
    return failed


@contextlib.contextmanager
def _taken_by_nobody(port: int) -> Iterator[None]:
    """A listener with a full queue: whoever connects gets no answer at all."""
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            waiting = closing.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield


FAULTS = [
    Fault(
        "answers",
        "every fault of Thinkific at every call",
        every_answer,
        # No process dies here. On a busy machine a start takes more than a few seconds, and
        # an action of several calls outlasts a short lease.
        env={"HEARTBEAT_TIMEOUT": "60", "LEASE_SECONDS": "12"},
    ),
    Fault("drips", "answers that drip or never come, at the default deadline", drips, env=DEFAULTS),
    Fault("away", "Thinkific refuses connections, then takes none", away),
    Fault("certificate", "Thinkific's certificate is not to be trusted, then is", certificate),
    Fault("no-such-name", "the name of Thinkific's API does not resolve", no_such_name),
]
