"""The sentence that says why access that is due is not in Thinkific, and what to do."""

from events.access import revocations
from events.models import EventLog, Grant
from events.reports.access.standing import Standing
from events.reports.sentences import holders
from events.reports.sentences.sentence import QUIET, WAIT, Code, Sentence
from integrations.sentences import format_time, joined, say


def sentence(name: str, about: Standing) -> Sentence:
    """Return the sentence for access that is due but not in Thinkific, with no action under way."""
    paid = [row for row in about.given if row.pk not in about.unpaid]
    row, facts = (paid or about.given)[-1], {"name": name, "course": about.name}
    left = about.unpaid.get(row.pk)
    if row.seen_at is None:
        return _never_seen(about, row, left, facts)
    facts |= {
        "moment": format_time(row.opened_at or row.decided_at),
        "source": holders.source(about, row),
    }
    if left:
        text = say(
            "{name} has no access to {course}: it was given on {moment} through {source} to an "
            "account that was deleted in Thinkific; {ending}.",
            ending=revocations.sentence(left),
            **facts,
        )
        return Sentence(QUIET, text, Code.ENDED, event=left.pk)
    text = say(
        "{name} has no access to {course}: it was given on {moment} through {source} to an account "
        "that was deleted in Thinkific. To give it to the new account, run the event's rules "
        "again.",
        **facts,
    )
    return Sentence(WAIT, text, Code.LOST, event=row.event_id)


def _never_seen(
    about: Standing, row: Grant, left: EventLog | None, facts: dict[str, str]
) -> Sentence:
    """Return the sentence for a grant that was never seen in Thinkific."""
    if left:
        text = say(
            "{name} may still be without {course}, and nothing is due anymore: {ending}.",
            ending=revocations.sentence(left),
            **facts,
        )
        return Sentence(QUIET, text, Code.ENDED, event=left.pk)
    gave = [run.pk for run in about.runs if run.grant_id == row.pk and run.spec.gives_access]
    due = say(
        "{name} may still be without {course}, due {since}.",
        since=holders.since(about, [row]),
        **facts,
    )
    do = say("Retry its action.") if gave else say("Run the event's rules again.")
    event, run = (None, gave[-1]) if gave else (row.event_id, None)
    return Sentence(WAIT, joined([due, do]), Code.OWED, run=run, event=event)
