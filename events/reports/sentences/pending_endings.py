"""A student's pending endings: those that wait for their day, or for a person."""

from datetime import datetime

from events.access import sentences
from events.models import Grant, RuleRun
from events.models.runs import BRAKED, DELAYED
from events.reports.access.standing import Standing
from events.reports.sentences.leads import PressButtons
from events.reports.sentences.sentence import WAIT, Code, Sentence, happening
from integrations.sentences import Said, format_day, joined, say
from integrations.who import shown_who
from rules.listing import listed


def lines(about: Standing) -> list[Sentence]:
    """Return a sentence for each, such as "Access to Course Two ends on 5 May because ..."."""
    return [
        Sentence(WAIT, _text(about, run), Code.ENDS_LATER, run=run.pk, leads=(PressButtons(run),))
        for run in about.pending
    ]


def ends_at(about: Standing) -> datetime | None:
    """Return the last moment in which it opens; None if no end is planned."""
    ends = [_day(run) for run in about.pending if run.code == DELAYED and not _left(about, run)]
    return min(ends, default=None)


def last_moment(about: Standing, grant: Grant) -> datetime | None:
    """Return when a grant ends that was given by hand until a day; None for other grants."""
    mine = (run for run in about.pending if run.grant_id == grant.pk and _gave(run))
    return next(map(_day, mine), None)


def _text(about: Standing, run: RuleRun) -> Said:
    if run.code == BRAKED:
        ends = say(
            "Access to {course} is to end because of {event}.",
            course=about.name,
            event=happening(run),
        )
        return joined([ends, run.message])
    facts = {"course": about.name, "day": format_day(_day(run))}
    if left := _left(about, run):
        stays = say("The access stays open through {sources}.", sources=listed(left))
        return joined([_ends_in_part(run, **facts), stays])
    return _ends(run, **facts)


def _ends_in_part(run: RuleRun, **facts: str) -> Said:
    """Say on which day that part of the access ends which the run is about, and why."""
    who = shown_who(run.event.author) or say("a person")
    if _gave(run):
        return say("The gift of {course} from {person} ends on {day}.", person=who, **facts)
    if run.event.ends_by_hand:
        return say(
            "What gave access to {course} when {person} decided to end it ends on {day}.",
            person=who,
            **facts,
        )
    if run.grant is None:
        return _ends(run, **facts)
    course = say("{course} through {source}", source=sentences.holds(run.grant), **facts)
    return _ends(run, **facts | {"course": course})


def _ends(run: RuleRun, **facts: str) -> Said:
    """Say on which day the access ends, and why."""
    who = shown_who(run.event.author) or say("a person")
    if _gave(run):
        return say(
            "Access to {course} ends on {day} because {person} gave it until then.",
            person=who,
            **facts,
        )
    if run.event.ends_by_hand:
        return say(
            "Access to {course} ends on {day} because {person} decided so.", person=who, **facts
        )
    return say(
        "Access to {course} ends on {day} because of {event}, unless it is paid for again by then.",
        event=happening(run),
        **facts,
    )


def _left(about: Standing, run: RuleRun) -> list[str]:
    """Return what still gives it after this ending, such as ["order 1183"]."""
    if run.ends_all:
        return []
    before = [each for each in about.pending if each.code == DELAYED and _day(each) <= _day(run)]
    over = {each.grant_id for each in before}
    return list(
        dict.fromkeys(
            sentences.holds(row)
            for row in about.given
            if row.pk not in over and not any(_is_meant(each, row) for each in [*before, run])
        )
    )


def _is_meant(run: RuleRun, row: Grant) -> bool:
    """Whether the ending is about this grant because it ends everything that gave access then."""
    ends_all = run.ends_all or run.event.ends_by_hand
    return ends_all and row.opened_at is not None and row.opened_at <= run.received_at


def _gave(run: RuleRun) -> bool:
    return run.event.is_gift


def _day(run: RuleRun) -> datetime:
    return run.next_attempt_at or run.received_at
