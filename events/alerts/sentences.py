"""What is said about a problem: one sentence for mail, page and terminal."""

from collections.abc import Callable
from datetime import date, datetime

from django.utils import timezone

from events.alerts.problems import KINDS, Code, Problem
from events.models import Canary
from integrations.sentences import say


def sentence(problem: Problem) -> str:
    """What is wrong, to what, and what to do."""
    try:
        said = SENTENCES[problem.code](problem)
    except (KeyError, TypeError, ValueError):
        # An alert of another version, whose facts were others.
        said = f"{problem.kind.title}."
    return f"{said} {_kept_out(problem)}".rstrip()


def _kept_out(problem: Problem) -> str:
    if not problem.buyers:
        return ""
    waiting = "1 buyer is" if problem.buyers == 1 else f"{problem.buyers:,} buyers are"
    return f"{waiting} affected."


def _when(at: datetime | str | None) -> str:
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return f"{timezone.localtime(at):%-d %b %H:%M %Z}" if at else ""


def _no_worker(problem: Problem) -> str:
    since = f" since {_when(problem.since)}" if problem.since else ""
    return (
        f"No worker has been seen{since}, so nothing is carried out. What SamCart sends is kept. "
        "Start Admit again (manage.py up), or call your technician."
    )


def _key_refused(problem: Problem) -> str:
    if problem.facts.get("never_connected"):
        return say(
            "{integration} never connected: its address or its key is wrong. Edit the integration "
            "and copy both once more from Thinkific; then everything that waits goes on by itself.",
            integration=_name(problem),
        )
    return (
        f"{_name(problem)} does not accept the key. Edit the integration and give it a new one; "
        "then everything that waits goes on by itself."
    )


def _site_paused(problem: Problem) -> str:
    return (
        f"{_name(problem)} has been paused for over 10 minutes: it does not answer, or asks for a "
        "pause. Admit tries again by itself; look at Thinkific's status page."
    )


def _overdue(problem: Problem) -> str:
    return (
        f"Something has been due since {_when(problem.since)} and was not done. The workers may be "
        "too slow or stuck: look at the Queue page and the log."
    )


def _spool_waits(problem: Problem) -> str:
    number = problem.facts["files"]
    what = "1 delivery of SamCart waits" if number == 1 else f"{number:,} deliveries wait"
    return (
        f"{what} in the spool folder since {_when(problem.since)}, because the database did not "
        "take them. Nothing is lost; see that the database runs and has room."
    )


def _disk_low(problem: Problem) -> str:
    facts = problem.facts
    gave_up = " Admit gave up its ballast to go on." if facts["given_up"] else ""
    return (
        f"{facts['free_mb']:,} MB are left on the disk of {facts['what']}.{gave_up} Make room: "
        "once it is full, sales are lost."
    )


def _canary_failed(problem: Problem) -> str:
    facts = problem.facts
    detail = f" ({facts['detail']})" if facts["detail"] else ""
    broken = _CANARY_STEPS[Canary.Step(facts["step"])]
    return f"The canary of {_name(problem)} did not get through. " + broken.format(
        host=facts["host"], status=facts["detail"], detail=detail
    )


_CANARY_STEPS: dict[Canary.Step, str] = {
    Canary.Step.PASSED: "It is tried again.",
    Canary.Step.ADDRESS: (
        "Its webhook address cannot be opened with FIELD_ENCRYPTION_KEYS: put the old key back."
    ),
    Canary.Step.DNS: (
        "{host} was not found (DNS), so SamCart cannot reach Admit either. Check the records of "
        "the name."
    ),
    Canary.Step.CERTIFICATE: (
        "No secure connection to {host} could be made{detail}. Check the certificate in the proxy."
    ),
    Canary.Step.CONNECTION: (
        "No connection to {host} could be made. Check that the proxy runs, and the firewall."
    ),
    Canary.Step.ANSWER: (
        "{host} answered {status} in place of 200. Check that PUBLIC_URL leads to this "
        "installation, and that the proxy passes /hooks/ on to manage.py up."
    ),
    Canary.Step.SECRET: (
        "Admit does not know the webhook address that it shows. Make a new address on the SamCart "
        "page, and give it to SamCart. Check that the database is the right one."
    ),
    Canary.Step.ARRIVAL: (
        "{host} took it, but it is not in this database. Check that PUBLIC_URL leads to this "
        "installation, and that nothing waits in the spool."
    ),
    Canary.Step.WORKER: (
        "It arrived, but no worker read it in time. Check that the workers run: look at the Queue "
        "page and the log."
    ),
    Canary.Step.RULES: (
        "It was read, but Admit's own code failed on the rules{detail}. Call your technician."
    ),
}


def _silence(problem: Problem) -> str:
    usual = problem.facts["usual"]
    return (
        f"The last sale came {_when(problem.since)}; by now {usual:,.0f} more are usual at this "
        "time of the week. Place a test order, and check the address in SamCart. If the silence "
        "is right, say so on the Alerts page."
    )


def _nothing_given(problem: Problem) -> str:
    return "Somebody paid and no rule gave anything for it. Add the rule, and run it for them."


def _needs_a_person(problem: Problem) -> str:
    number = problem.facts["actions"]
    if number == 1:
        return "1 action failed or waits for a person. See why, and retry or dismiss."
    return f"{number:,} actions failed or wait for a person. See why, and retry or dismiss."


def _brake_on(problem: Problem) -> str:
    number = problem.facts["actions"]
    what = "1 ending waits" if number == 1 else f"{number:,} endings wait"
    return (
        f"{what} for a person, because more accesses were to end within an hour than usual. "
        "Look at the names, and release or dismiss them."
    )


def _token_ends(problem: Problem) -> str:
    days, on = problem.facts["days"], date.fromisoformat(problem.facts["on"])
    end = "has ended" if days < 0 else f"ends on {on:%-d %b %Y}"
    return f"The access token of {_name(problem)} {end}. Make a new one in Thinkific and enter it."


def _backup_old(problem: Problem) -> str:
    return f"The last backup is of {_when(problem.since)}. See why manage.py backup did not run."


def _name(problem: Problem) -> str:
    return str(problem.facts["name"])


def _not_checked(problem: Problem) -> str:
    return (
        f"Admit could not find out about “{KINDS[Code(problem.subject)].title}”. "
        "Its log says why: search it for look_failed, or call your technician."
    )


SENTENCES: dict[Code, Callable[[Problem], str]] = {
    Code.NO_WORKER: _no_worker,
    Code.KEY_REFUSED: _key_refused,
    Code.SITE_PAUSED: _site_paused,
    Code.OVERDUE: _overdue,
    Code.SPOOL_WAITS: _spool_waits,
    Code.DISK_LOW: _disk_low,
    Code.CANARY_FAILED: _canary_failed,
    Code.SILENCE: _silence,
    Code.NOTHING_GIVEN: _nothing_given,
    Code.NEEDS_A_PERSON: _needs_a_person,
    Code.BRAKE_ON: _brake_on,
    Code.TOKEN_ENDS: _token_ends,
    Code.BACKUP_OLD: _backup_old,
    Code.NOT_CHECKED: _not_checked,
}
