"""The messages about alerts: a subject line and a text. They name no customer."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from events.alerts.problems import KINDS, Problem, ProblemCode
from events.alerts.sentences import sentence
from events.models import Alert
from integrations.sentences import FULL, Said, format_day, joined, say, say_count

PAGE = "admin:alerts"


@dataclass(frozen=True, slots=True)
class MessageText:
    """The subject line and the text of a message."""

    subject: Said
    body: Said


def began(problem: Problem, *, may_fix: bool = True) -> MessageText:
    """Return the message that a problem has begun, or has become worse.

    It leads to where the problem is fixed. Who may not fix it is led to the page of alerts, which
    says who may.
    """
    where = settings.PUBLIC_URL + problem.address if may_fix else _page()
    subject = say("Admit: {problem}", problem=problem.kind.title)
    return MessageText(subject, _paragraphs(sentence(problem), where))


def over(alert: Alert) -> MessageText:
    """Return the message that a problem is over."""
    title = KINDS[ProblemCode(alert.code)].title
    began_at = format_day(alert.began_at, FULL)
    about = _about(alert)
    if about:
        text = say(
            "Resolved: “{problem}” ({about}). It began {moment}.",
            problem=title,
            about=about,
            moment=began_at,
        )
    else:
        text = say("Resolved: “{problem}”. It began {moment}.", problem=title, moment=began_at)
    return MessageText(say("Admit: resolved: {problem}", problem=title), _paragraphs(text))


def digest(alerts: Sequence[Alert]) -> MessageText:
    """Return the message that lists what is still wrong."""
    subject = say_count(
        len(alerts),
        "Admit: 1 thing is still wrong",
        "Admit: {number} things are still wrong",
    )
    lines = joined((joined(["-", sentence(problem_of(alert))]) for alert in alerts), by="\n")
    return MessageText(subject, _paragraphs(lines, _page()))


def test() -> MessageText:
    """Return a message that only shows that messages arrive."""
    text = say("This is a test. Alerts arrive here.")
    return MessageText(say("Admit: a test"), _paragraphs(text, _page()))


def problem_of(alert: Alert) -> Problem:
    """Return the problem that an alert is about, as it was last seen."""
    return Problem(
        ProblemCode(alert.code),
        alert.subject,
        since=alert.began_at,
        buyers=alert.buyers,
        stage=alert.stage,
        facts=alert.facts,
    )


def _page() -> str:
    return settings.PUBLIC_URL + reverse(PAGE)


def _paragraphs(*texts: str) -> Said:
    return joined([joined(texts, by="\n\n"), "\n"], by="")


def _about(alert: Alert) -> str:
    about: str = alert.facts.get("name") or alert.facts.get("what") or ""
    return about
