"""What counts: nothing that was acknowledged is lost, and nothing is done twice.

It looks at four things and trusts none of them alone: the answers that SamCart got, the events
and runs that Admit tells of, the enrollments in the school, and every call that the school got.
"""

import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from integrations.thinkific.sandbox import RecordedCall, School
from tests.faults.stage import Sale, Stage, strays
from tests.support import live
from tests.support.receiver import Receiver

# After the last run has ended, this long nothing may be called any more.
QUIET_SECONDS = 1.5
# A cluster that hangs is killed after its task's limit and a grace of 15 s: 75 by default.
STOP_SECONDS = 150.0
# Wake-ups that may lie in the queue of an idle installation: one that waits, and one that runs.
WAKE_UPS = 2


@dataclass(slots=True)
class Found:
    """Sentences about what is wrong; none when all is well."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.stray)


def check(stage: Stage) -> Found:
    """Look at a stage whose work has ended, then stop it and look what is left of it."""
    found = Found(sum(sale.acknowledged for sale in stage.sales))
    _events(stage, found)
    for school in stage.sandbox.schools.values():
        sales = [sale for sale in stage.sales if sale.school == school.subdomain]
        _access(school, sales, found)
        calls = [call for call in stage.sandbox.calls if call.school == school.subdomain]
        found.twice += done_twice(school, calls)
    if stage.receiver is not None:
        _messages(stage.receiver, stage.sales, found)
    _quiet(stage, found)
    _stop(stage, found)
    return found


def _events(stage: Stage, found: Found) -> None:
    """Each acknowledged delivery has its event, carried out; none has two."""
    told = stage.admit.events("--limit", "1000000")
    events: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in told:
        events.setdefault((str(event["order"]), str(event["trigger"])), []).append(event)
    last = {(sale.school, sale.email): sale for sale in stage.sales if sale.acknowledged}
    for sale in stage.sales:
        what = f"{sale.trigger} of order {sale.order}"
        its = events.get((str(sale.order), sale.trigger), [])
        if len(its) > 1:
            found.twice.append(f"{what} was stored {len(its)} times")
        if not sale.acknowledged:
            continue
        if not its:
            found.lost.append(f"{what} was acknowledged and not stored")
        elif its[0]["status"] not in _ends(sale, last[sale.school, sale.email]):
            found.lost.append(f"{what} ended {its[0]['status']}: {its[0]['runs']}")
        elif len(its[0]["runs"]) != (1 if stage.receiver is None else 2):
            found.lost.append(f"{what} has {len(its[0]['runs'])} runs")


def _messages(receiver: Receiver, sales: list[Sale], found: Found) -> None:
    """Each acknowledged sale has reached the receiver. Under one id it may come again."""
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


def _ends(sale: Sale, last: Sale) -> set[str]:
    """How its event may end: only of one that another came after nothing may have been due."""
    return {"done"} if sale is last else {"done", "skipped"}


def _access(school: School, sales: list[Sale], found: Found) -> None:
    """Each customer has the access that the last acknowledged sale demands.

    Of one whose POST had no good answer we do not know whether it was stored.
    """
    unknown = {sale.email for sale in sales if not sale.acknowledged}
    last = {sale.email: sale for sale in sales if sale.email not in unknown}
    for email, sale in last.items():
        if live.has_access(school, email) != (sale.kind == "Order"):
            found.lost.append(f"{email} has the wrong access after order {sale.order}")


def done_twice(school: School, calls: list[RecordedCall]) -> list[str]:
    """Creating calls that were sent although one before had done it already, or was about to.

    Whether its answer had arrived does not matter. One thing alone excuses a second call: that
    Admit had looked in between, and the first had not been carried out yet. A POST for an e-mail
    that the school had before us is no second one, for Admit could not know of it.
    """
    users: dict[str, list[RecordedCall]] = {}
    enrollments: dict[str, list[RecordedCall]] = {}
    found = []
    for number, call in enumerate(calls):
        body = call.body or {}
        if (call.method, call.path) == ("POST", "/users"):
            who, before, asked = str(body["email"]).lower(), users, "query[email]"
        elif (call.method, call.path) == ("POST", "/enrollments"):
            who, before, asked = str(body["user_id"]), enrollments, "query[user_id]"
        else:
            if call.method == "PUT" and _was_done(call) and call.path.startswith("/enrollments/"):
                row = school.rows_by_id[int(call.path.rpartition("/")[2])]
                enrollments.pop(str(row.user_id), None)
            continue
        looks = [
            each
            for each in calls[:number]
            if (each.method, each.path, each.status) == ("GET", call.path, 200)
            and each.query.get(asked, "").lower() == who
        ]
        if not all(_was_absent(first, looks) for first in before.get(who, [])):
            found.append(f"POST {call.path} for {who} again")
        if _was_done(call):
            before.setdefault(who, []).append(call)
    return found


def _was_absent(first: RecordedCall, looks: list[RecordedCall]) -> bool:
    """Whether Admit looked after this call was sent and before the school carried it out."""
    assert first.done_at is not None
    return any(first.at < look.at and (look.done_at or look.at) < first.done_at for look in looks)


def _was_done(call: RecordedCall) -> bool:
    """Whether the school carried it out, sooner or later, and did not refuse."""
    return call.done is not None and call.done < 300


def _quiet(stage: Stage, found: Found) -> None:
    before = len(stage.sandbox.calls)
    time.sleep(QUIET_SECONDS)
    late = stage.sandbox.calls[before:]
    found.stray += [f"{call.method} {call.path} after the end" for call in late]
    queued = "SELECT count(*) FROM django_q_ormq"
    # One whose worker died comes again after the queue's retry, 10/3 of a lease.
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
        try:
            code: int | str = running.terminate(seconds=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = "nothing"
        if code != 0:
            found.stray.append(f"up ended with {code} after SIGTERM")
    found.stray += [f"process {each.pid} was left behind" for each in strays(stage.admit)]
