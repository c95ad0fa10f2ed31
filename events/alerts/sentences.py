"""Say what a problem is, in the same words for mail, page and terminal."""

from collections.abc import Callable
from datetime import date, datetime

from django.utils.translation import gettext_lazy as _

from events.alerts.problems import KINDS, Problem, ProblemCode
from events.models import Canary
from integrations.sentences import FULL, YEAR, Said, Text, format_day, joined, say, say_count


def sentence(problem: Problem) -> Said:
    """Return what is wrong, what to do, and how many buyers are affected."""
    try:
        said = SENTENCES[problem.code](problem)
    except (KeyError, TypeError, ValueError):
        # The alert is from another version, which stored other facts.
        said = joined([problem.kind.title, "."], by="")
    return joined([said, _kept_out(problem)])


def _kept_out(problem: Problem) -> str:
    if not problem.buyers:
        return ""
    return say_count(problem.buyers, "1 buyer is affected.", "{number} buyers are affected.")


def _when(at: datetime | str | None) -> str:
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return format_day(at, FULL) if at else ""


def _no_worker(problem: Problem) -> Said:
    if problem.since is None:
        return say(
            "No worker has been seen, so nothing is carried out. What SamCart sends is kept. "
            "Start Admit again (manage.py up), or call your technician."
        )
    return say(
        "No worker has been seen since {moment}, so nothing is carried out. What SamCart sends is "
        "kept. Start Admit again (manage.py up), or call your technician.",
        moment=_when(problem.since),
    )


def _key_refused(problem: Problem) -> Said:
    if problem.facts.get("never_connected"):
        return say(
            "{name} never connected: its address or its key is wrong. Edit the integration and "
            "copy both once more from Thinkific; then everything that waits continues by itself.",
            name=_name(problem),
        )
    if problem.facts.get("denied"):
        return say(
            "{name} denies access: its Thinkific plan has no API access (Grow or higher is "
            "required), or the key lacks a permission. Fix that in Thinkific; then everything "
            "that waits continues by itself.",
            name=_name(problem),
        )
    return say(
        "{name} does not accept the key. Enter another one under Integrations. What waits "
        "continues by itself as soon as Thinkific accepts either of them.",
        name=_name(problem),
    )


def _site_paused(problem: Problem) -> Said:
    return say(
        "{name} has been paused for over 10 minutes: it does not answer, or asks for a pause. "
        "Admit tries again by itself; look at Thinkific's status page.",
        name=_name(problem),
    )


def _overdue(problem: Problem) -> Said:
    return say(
        "Something has been due since {moment} and was not done. The workers may be too slow or "
        "stuck. Nothing received is lost. Call your technician, who looks at the Queue page and at "
        "the log.",
        moment=_when(problem.since),
    )


def _spool_waits(problem: Problem) -> Said:
    return say_count(
        problem.facts["files"],
        "1 delivery from SamCart has been waiting in the spool folder since {moment}, because the "
        "database did not accept it. Nothing is lost. Check that the database is running and has "
        "free space, or call your technician.",
        "{number} deliveries have been waiting in the spool folder since {moment}, because the "
        "database did not accept them. Nothing is lost. Check that the database is running and "
        "has free space, or call your technician.",
        moment=_when(problem.since),
    )


def _disk_low(problem: Problem) -> Said:
    free, what = problem.facts["free_mb"], problem.facts["what"]
    if problem.facts["given_up"]:
        return say(
            "{megabytes} MB are left on the disk of {what}. Admit used up its reserve space to "
            "keep running. Free some space, or call your technician: once the disk is full, sales "
            "are lost.",
            megabytes=free,
            what=what,
        )
    return say(
        "{megabytes} MB are left on the disk of {what}. Free some space, or call your technician: "
        "once the disk is full, sales are lost.",
        megabytes=free,
        what=what,
    )


def _canary_failed(problem: Problem) -> Said:
    facts = problem.facts
    failed = say("Admit's hourly test event for {name} did not get through.", name=_name(problem))
    detail = f" ({facts['detail']})" if facts["detail"] else ""
    broken = _CANARY_STEPS[Canary.Step(facts["step"])]
    why = say(broken, host=facts["host"], status=facts["detail"], detail=detail)
    return joined([failed, why])


_CANARY_STEPS: dict[Canary.Step, Text] = {
    Canary.Step.PASSED: _("Admit tries it again."),
    Canary.Step.ADDRESS: _(
        "Its webhook address cannot be opened with FIELD_ENCRYPTION_KEYS: put the old key back."
    ),
    Canary.Step.DNS: _(
        "{host} was not found (DNS), so SamCart cannot reach Admit either. Check the records of "
        "the name."
    ),
    Canary.Step.CERTIFICATE: _(
        "No secure connection to {host} could be made{detail}. Check the certificate in the proxy."
    ),
    Canary.Step.CONNECTION: _(
        "No connection to {host} could be made. Check that the proxy runs, and the firewall."
    ),
    Canary.Step.ANSWER: _(
        "{host} answered {status} in place of 200. Check that PUBLIC_URL leads to this "
        "installation, and that the proxy passes /hooks/ on to manage.py up."
    ),
    Canary.Step.SECRET: _(
        "Admit does not know the webhook address that it shows. Make a new address on the SamCart "
        "page, and give it to SamCart. Check that the database is the right one."
    ),
    Canary.Step.ARRIVAL: _(
        "{host} accepted it, but it is not in this database. Check that PUBLIC_URL leads to this "
        "installation, and that nothing waits in the spool."
    ),
    Canary.Step.WORKER: _(
        "It arrived, but no worker read it in time. Check that the workers run: look at the Queue "
        "page and the log."
    ),
    Canary.Step.RULES: _(
        "It was read, but Admit's own code failed on the rules{detail}. Call your technician."
    ),
}


def _silence(problem: Problem) -> Said:
    return say(
        "The last sale of {name} came {moment}; normally {number} more would have come by now. "
        "Place a test order, and check the address in SamCart. If no sales were expected, press "
        "“Do not warn until the next sale” on the Alerts page.",
        name=_name(problem),
        moment=_when(problem.since),
        number=round(problem.facts["usual"]),
    )


def _nothing_given(problem: Problem) -> Said:
    return say(
        "Somebody paid and no rule gave anything for it. Add the rule, then press See and enroll "
        "them."
    )


def _refunded(problem: Problem) -> Said:
    return say("Somebody was refunded and still has access. End it, or let the buyer keep it.")


def _needs_a_person(problem: Problem) -> Said:
    return say_count(
        problem.facts["actions"],
        "1 action failed or waits for a person. See why, and retry or dismiss.",
        "{number} actions failed or wait for a person. See why, and retry or dismiss.",
    )


def _brake_on(problem: Problem) -> Said:
    return say_count(
        problem.facts["actions"],
        "1 action that ends access waits for a person, because too many were due within an hour. "
        "Look at the name, then release or dismiss the action.",
        "{number} actions that end access wait for a person, because too many were due within an "
        "hour. Look at the names, then release or dismiss the actions.",
    )


def _token_ends(problem: Problem) -> Said:
    name = _name(problem)
    if problem.facts["days"] < 0:
        return say(
            "The access token of {name} has expired. Create a new one in Thinkific and enter it.",
            name=name,
        )
    return say(
        "The access token of {name} expires on {day}. Create a new one in Thinkific and enter it.",
        name=name,
        day=format_day(date.fromisoformat(problem.facts["on"]), YEAR),
    )


def _backup_old(problem: Problem) -> Said:
    return say(
        "The last backup was made on {moment}. Find out why manage.py backup did not run, or call "
        "your technician.",
        moment=_when(problem.since),
    )


def _name(problem: Problem) -> str:
    return str(problem.facts["name"])


def _not_checked(problem: Problem) -> Said:
    return say(
        "Admit could not find out about “{problem}”. Its log says why: search it for look_failed, "
        "or call your technician.",
        problem=KINDS[ProblemCode(problem.subject)].title,
    )


SENTENCES: dict[ProblemCode, Callable[[Problem], Said]] = {
    ProblemCode.NO_WORKER: _no_worker,
    ProblemCode.KEY_REFUSED: _key_refused,
    ProblemCode.SITE_PAUSED: _site_paused,
    ProblemCode.OVERDUE: _overdue,
    ProblemCode.SPOOL_WAITS: _spool_waits,
    ProblemCode.DISK_LOW: _disk_low,
    ProblemCode.CANARY_FAILED: _canary_failed,
    ProblemCode.SILENCE: _silence,
    ProblemCode.NOTHING_GIVEN: _nothing_given,
    ProblemCode.REFUNDED_STILL_IN: _refunded,
    ProblemCode.NEEDS_A_PERSON: _needs_a_person,
    ProblemCode.BRAKE_ON: _brake_on,
    ProblemCode.TOKEN_ENDS: _token_ends,
    ProblemCode.BACKUP_OLD: _backup_old,
    ProblemCode.NOT_CHECKED: _not_checked,
}
