"""Scales by settings alone: PostgreSQL, Redis and several machines share each site's budget.

Three schools have plenty to do at once: one answers at once, one takes two seconds for each
call, and at the third one customer has far more events than all others.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live, redis_server

MACHINES = 3
CALLS = 110  # Calls a minute for each site, as Admit is set; Thinkific allows 120.
WATCHED_SECONDS = 120.0
# Machines that start together need a moment until each knows what is due.
START_SECONDS = 5.0
# The share of the budget that must be used; the second if other programs use the processors.
ASKED, ASKED_BESIDE_OTHERS = 0.95, 0.80
# More programs than this for each processor count as busy.
BUSY = 3.0
BUYERS = 150
HOT_EVENTS = 150
COLD_BUYERS = 20


def machines(stage: Stage) -> float:
    """Watch the calls of all machines for two minutes; then let them finish the rest."""
    stage.admit.env["REDIS_URL"] = stage.after.enter_context(
        redis_server.running(stage.admit.folder)
    )
    stage.open_schools(["quick", "slow", "hot"])
    stage.sandbox.switches.calls_per_minute = 120
    slow = replace(stage.sandbox.switches, latency=2.0)
    stage.school("slow").switches = slow
    stage.up("--no-worker")
    stage.sell(BUYERS, school="quick")
    stage.sell(BUYERS, school="slow")
    for school in ("quick", "slow"):
        stage.trade(school=school)
    stage.buy_again("hot@example.com", HOT_EVENTS, school="hot")
    cold = stage.sell(COLD_BUYERS, school="hot")
    for _ in range(MACHINES):
        stage.up("--no-web")
    stage.mended()
    live.until(lambda: len(stage.sandbox.calls) > MACHINES, what="the first calls")
    start = time.monotonic() + START_SECONDS
    while time.monotonic() < start + WATCHED_SECONDS:
        time.sleep(1)
        _note_when_done(stage, [sale.email for sale in cold])
    used = {school: _weigh(stage, school, start) for school in ("quick", "slow", "hot")}
    asked = _asked(stage)
    in_time = any("who bought once" in note for note in stage.notes)
    seconds = stage.heal()  # Before the assertions, because unfinished work would count as lost.
    for school, share in used.items():
        # One customer's events go one at a time, and sometimes nothing else is left to do.
        assert share >= asked or school == "hot", f"only {share:.1%} of {school} were used"
    assert in_time, "the hot customer held them up"
    return seconds


def _asked(stage: Stage) -> float:
    """Return the share of the budget that must be used on this machine at its current load."""
    load = os.getloadavg()[0]
    stage.notes.append(f"load {load:.0f}")
    return ASKED_BESIDE_OTHERS if load > BUSY * (os.cpu_count() or 1) else ASKED


def _note_when_done(stage: Stage, emails: Sequence[str]) -> None:
    if any("who bought once" in note for note in stage.notes):
        return
    if all(live.has_access(stage.school("hot"), email) for email in emails):
        took = time.monotonic() - stage.mended_at
        stage.notes.append(
            f"{len(emails)} who bought once beside {HOT_EVENTS} of one: {took:.0f} s"
        )


def _weigh(stage: Stage, school: str, start: float) -> float:
    """Check that no minute exceeds the limit and no call was refused; return the share used."""
    calls = [call for call in stage.sandbox.calls if call.school == school]
    refused = sum(call.status == 429 for call in calls)
    sent = [call.at for call in calls]
    most = max(sum(at <= other < at + 60 for other in sent) for at in sent)
    used = sum(start <= at < start + WATCHED_SECONDS for at in sent)
    share = used / (CALLS * WATCHED_SECONDS / 60)
    stage.notes.append(f"{school}: {share:.0%} used, at most {most} a minute, {refused} refused")
    assert refused == 0, f"{refused} calls of {school} were answered 429"
    assert most <= CALLS, f"{most} calls of {school} in one minute"
    return share


FAULTS = [
    Fault(
        "scale",
        "three machines, three sites, one hot customer, Redis",
        machines,
        env={
            "THINKIFIC_CALLS_PER_MINUTE": str(CALLS),
            "LEASE_SECONDS": "90",
            "HEARTBEAT_TIMEOUT": "60",
        },
        only="PostgreSQL",
    )
]
