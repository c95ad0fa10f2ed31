"""The messages about alerts: a line for the subject and a text. No customer is named in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from events.alerts.problems import KINDS, Code, Problem
from events.alerts.sentences import sentence
from events.models import Alert

PAGE = "admin:alerts"


@dataclass(frozen=True, slots=True)
class Text:
    """What a message says."""

    subject: str
    body: str


def began(problem: Problem) -> Text:
    """That a problem has begun, or has become worse."""
    where = settings.PUBLIC_URL + problem.address
    return Text(f"Admit: {problem.kind.title}", f"{sentence(problem)}\n\n{where}\n")


def over(alert: Alert) -> Text:
    """That it is over."""
    title = KINDS[Code(alert.code)].title
    began_at = f"{timezone.localtime(alert.began_at):%-d %b %H:%M %Z}"
    return Text(
        f"Admit: over: {title}",
        f"This is over: {title.lower()}{_about(alert)}. It began {began_at}.\n",
    )


def digest(alerts: Sequence[Alert]) -> Text:
    """What is still wrong."""
    number = "1 thing is" if len(alerts) == 1 else f"{len(alerts)} things are"
    lines = "\n".join(f"- {sentence(problem_of(alert))}" for alert in alerts)
    where = settings.PUBLIC_URL + reverse(PAGE)
    return Text(f"Admit: {number} still wrong", f"{lines}\n\n{where}\n")


def test() -> Text:
    """A message that says nothing but that messages arrive."""
    where = settings.PUBLIC_URL + reverse(PAGE)
    return Text("Admit: a test", f"This is a test. Alerts arrive here.\n\n{where}\n")


def problem_of(alert: Alert) -> Problem:
    """The problem that an alert is about, as it was last seen."""
    return Problem(
        Code(alert.code),
        alert.subject,
        since=alert.began_at,
        buyers=alert.buyers,
        stage=alert.stage,
        facts=alert.facts,
    )


def _about(alert: Alert) -> str:
    name = alert.facts.get("name") or alert.facts.get("what")
    return f" ({name})" if name else ""
