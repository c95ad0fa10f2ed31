"""What Thinkific, or something in front of it, permanently refuses for one customer."""

import time
from collections.abc import Callable
from functools import partial

from integrations.thinkific.sandbox import Fault as Answer
from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support import live

# The first buyer of a stage.
REFUSED = "buyer1@example.com"
OTHERS = 24
LET_IN_WITHIN = 60.0
PAGE = "<html><head><title>403 Forbidden</title></head><body>Blocked</body></html>"


def denied(user: int) -> Answer:
    """Answer 403 to everything that names this student."""
    about = rf'^{user}$|"user_id": {user}\b'
    return Answer("status", status=403, times=None, about=about, body={"error": "Forbidden"})


def firewall(user: int) -> Answer:
    """Answer with a web page and 403 to everything that contains this student's address."""
    return Answer("status", status=403, times=None, about=REFUSED, body=PAGE)


def not_found(user: int) -> Answer:
    """Answer 404 to each enrollment of this student."""
    about = rf'"user_id": {user}\b'
    return Answer(
        "status", status=404, times=None, method="POST", path="^/enrollments$", about=about
    )


def refuse(answer: Callable[[int], Answer], stage: Stage) -> float:
    """One buyer is always refused and all others are let in; then it is mended and retried."""
    school = stage.school()
    user = school.add_user(REFUSED)
    stage.sandbox.faults.add(answer(user.id))
    stage.up()
    stage.sell(1)
    began = time.monotonic()
    others = stage.sell(OTHERS)
    live.until(
        lambda: all(live.has_access(school, sale.email) for sale in others),
        seconds=LET_IN_WITHIN,
        what="all other buyers let in",
    )
    stage.notes.append(f"{OTHERS} others let in within {time.monotonic() - began:.1f} s")
    failed = "SELECT count(*) FROM events_rulerun WHERE status = 'failed'"
    live.until(lambda: stage.database.number(failed) == 1, seconds=60, what="her own failure")
    paused = "SELECT count(*) FROM integrations_callbudget WHERE blocked <> ''"
    assert stage.database.number(paused) == 0, "the whole site was paused"
    stage.sandbox.faults.clear()
    stage.mended()
    ended = stage.admit.manage("retry", "--failed")
    assert ended.returncode == 0, ended.stderr
    seconds = stage.heal()
    stage.trade()
    stage.heal()
    return seconds


FAULTS = [
    Fault(
        "one-denied",
        "one student's calls answered 403 for good",
        partial(refuse, denied),
        short=True,
    ),
    Fault("firewall", "a firewall that refuses one buyer's calls", partial(refuse, firewall)),
    Fault("one-not-found", "one student's enrollments answered 404", partial(refuse, not_found)),
]
