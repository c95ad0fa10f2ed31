"""Checks that nothing acknowledged is lost and that nothing is done twice.

It compares five things and trusts none of them alone: the answers that SamCart got, the events
and runs that Admit reports, its ledger, the enrollments in the school, and every call that the
school got.
"""

import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from integrations.thinkific.sandbox import RecordedCall, School
from tests.faults import access, shop
from tests.faults.stage import Sale, Stage, strays
from tests.support import live
from tests.support.receiver import Receiver

# After the last run has ended, there must be no call for this many seconds.
QUIET_SECONDS = 1.5
# A cluster that hangs is killed after its task's limit and a grace of 15 s: 75 s by default.
STOP_SECONDS = 150.0
# Wake-ups in the queue of an idle installation: at most one that waits and one that runs.
WAKE_UPS = 2
# Each line must have these, so that comparing the ledger with Thinkific means something.
DEMANDED = {
    ("Refund", shop.CLASS),
    ("Cancel", shop.PATH),
    ("Order", shop.KIT),
    ("Order", shop.PATH),
}
# The path of the creating call, e-mail or user, and the course if the path names none.
Made = tuple[str, str, int]


@dataclass(slots=True)
class Found:
    """Sentences about what is wrong; empty when all is well."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.stray)


def check(stage: Stage) -> Found:
    """Check a stage whose work has ended, then stop it and check what is left of it."""
    found = Found(sum(sale.acknowledged for sale in stage.sales))
    _events(stage, found)
    granted = access.granted(stage.database)
    for school in stage.sandbox.schools.values():
        sales = [sale for sale in stage.sales if sale.school == school.subdomain]
        found.lost += access.wrong(school, sales, granted.get(school.subdomain, set()))
        calls = [call for call in stage.sandbox.calls if call.school == school.subdomain]
        found.twice += done_twice(school, calls)
    if stage.receiver is not None:
        _messages(stage.receiver, stage.sales, found)
    sent = {(sale.kind, sale.product) for sale in stage.sales if sale.acknowledged}
    found.stray += [f"this line had no {each}" for each in sorted(DEMANDED - sent)]
    _quiet(stage, found)
    _stop(stage, found)
    return found


def _events(stage: Stage, found: Found) -> None:
    """Check that each acknowledged delivery has one event, which was carried out."""
    told = stage.admit.events("--limit", "1000000")
    events: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in told:
        events.setdefault((str(event["order"]), str(event["trigger"])), []).append(event)
    sales = Counter((sale.school, sale.email) for sale in stage.sales)
    for sale in stage.sales:
        what = f"{sale.trigger} of order {sale.order}"
        its = events.get((str(sale.order), sale.trigger), [])
        if len(its) > 1:
            found.twice.append(f"{what} was stored {len(its)} times")
        if not sale.acknowledged:
            continue
        if not its:
            found.lost.append(f"{what} was acknowledged and not stored")
        elif its[0]["status"] not in _ends(sales[sale.school, sale.email]):
            found.lost.append(f"{what} ended {its[0]['status']}: {its[0]['runs']}")
        elif len(its[0]["runs"]) != shop.RULES[sale.product] + (stage.receiver is not None):
            found.lost.append(f"{what} has {len(its[0]['runs'])} runs")


def _messages(receiver: Receiver, sales: list[Sale], found: Found) -> None:
    """Check that each acknowledged sale reached the receiver, under one ID, possibly repeatedly."""
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for message, number in zip(receiver.requests, receiver.verified(), strict=True):
        body = message.json()
        ids[body["type"], body["order"]["id"]].add(number)
    for sale in sales:
        got = ids[sale.kind, sale.order]
        if sale.acknowledged and not got:
            found.lost.append(f"{sale.trigger} of order {sale.order} did not reach the receiver")
        if len(got) > 1:
            found.twice.append(f"{sale.trigger} of order {sale.order} has {len(got)} messages")


def _ends(sales: int) -> set[str]:
    """Return how an event of a customer with this many sales may end; some have nothing to do."""
    return {"done"} if sales == 1 else {"done", "skipped"}


def done_twice(school: School, calls: list[RecordedCall]) -> list[str]:
    """Return creating calls sent although an earlier call had succeeded or was about to.

    It does not matter whether the earlier call's answer had arrived. Only one thing excuses a
    second call: Admit looked in between, and the first had not been carried out yet. A POST for an
    e-mail that the school knew before Admit is no second one, because Admit could not know that.
    """
    creating: dict[Made, list[RecordedCall]] = defaultdict(list)
    looks: dict[tuple[str, str], list[RecordedCall]] = defaultdict(list)
    found = []
    for call in calls:
        if call.method == "POST" and (made := _made(call)):
            if not all(_was_absent(first, looks[made[:2]]) for first in creating[made]):
                found.append(f"POST {call.path} for {made[1]} again")
            if _was_done(call):
                creating[made].append(call)
        elif call.method == "PUT" and _was_done(call):
            for made in _ended(school, call):
                creating.pop(made, None)
        elif (call.method, call.status) == ("GET", 200):
            asked = call.query.get("query[email]") or call.query.get("query[user_id]") or ""
            looks[call.path, asked.lower()].append(call)
    return found


def _made(call: RecordedCall) -> Made | None:
    """Return what the call creates, None if nothing."""
    body = call.body or {}
    if call.path == "/users":
        return call.path, str(body["email"]).lower(), 0
    if call.path.endswith("/enrollments"):
        return call.path, str(body["user_id"]), int(body.get("course_id", 0))
    return None


def _ended(school: School, call: RecordedCall) -> Iterator[Made]:
    """Return what may be created again after this change of one enrollment, or of a bundle's."""
    if call.path.startswith("/enrollments/"):
        row = school.rows_by_id[int(call.path.rpartition("/")[2])]
        user, courses = str(row.user_id), {row.course_id}
    elif call.path.startswith("/bundles/"):
        user = str((call.body or {})["user_id"])
        courses = {each.id for each in school.bundles[int(call.path.split("/")[2])].courses}
    else:
        return
    yield from (("/enrollments", user, course) for course in courses)
    for bundle in school.bundles.values():
        if courses & {each.id for each in bundle.courses}:
            yield f"/bundles/{bundle.id}/enrollments", user, 0


def _was_absent(first: RecordedCall, looks: list[RecordedCall]) -> bool:
    """Return whether Admit looked between this call and the moment the school carried it out."""
    assert first.done_at is not None
    return any(first.at < look.at and (look.done_at or look.at) < first.done_at for look in looks)


def _was_done(call: RecordedCall) -> bool:
    """Return whether the school carried it out, sooner or later, without refusing."""
    return call.done is not None and call.done < 300


def _quiet(stage: Stage, found: Found) -> None:
    before = len(stage.sandbox.calls)
    time.sleep(QUIET_SECONDS)
    late = stage.sandbox.calls[before:]
    found.stray += [f"{call.method} {call.path} after the end" for call in late]
    queued = "SELECT count(*) FROM django_q_ormq"
    # If a task's worker died, it comes again after the queue's retry, 10/3 of a lease.
    patience = 20 + 3.4 * float(stage.admit.env["LEASE_SECONDS"])
    try:
        live.until(lambda: stage.database.number(queued) <= WAKE_UPS, seconds=patience)
    except AssertionError:
        found.stray.append(f"{stage.database.number(queued)} wake-ups stay in the queue")


def _stop(stage: Stage, found: Found) -> None:
    serving = [each for each in stage.admit.running if each.process.poll() is None]
    left = strays(stage.admit)
    ours = {each.pid for each in serving}
    ours |= {process.pid for each in serving for process in live.tree(each.pid)}
    lost = [each for each in left if each.pid not in ours and each.alive()]
    found.stray += [f"process {each.pid} belongs to nobody" for each in lost]
    for running in serving:
        running.process.terminate()
    for running in serving:
        try:
            code: int | str = running.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = "nothing"
        if code != 0:
            found.stray.append(f"up ended with {code} after SIGTERM")
    found.stray += [f"process {each.pid} was left behind" for each in strays(stage.admit)]
