"""Say what gives a student a course or bundle, and since when."""

from collections.abc import Sequence
from datetime import datetime

from events.access import sentences
from events.models import Grant, RuleRun
from events.reports.access.standing import CLOSED, Standing
from events.reports.sentences import pending_endings
from integrations.sentences import Said, format_day, format_time, say
from integrations.who import shown_who
from rules.listing import listed

Status, Source = RuleRun.Status, Grant.Source


def since(about: Standing, holders: Sequence[Grant]) -> Said:
    """ "since 3 May 12:28 through order 1183 and order 1190" """
    known = [_given_at(about, row) for row in holders if row.source != Source.BEFORE]
    orders = dict.fromkeys(source(about, row) for row in holders if row.source == Source.PURCHASE)
    how = [say("through {orders}", orders=listed([*orders]))] if orders else []
    how += [_by_hand(about, row) for row in holders if row.source == Source.HAND]
    if not how:
        end = holders[0].until
        before = say("since before Admit, ending {day}", day=format_day(end)) if end else None
        how = [before or say("since before Admit")]
    if not known:
        return listed(how)
    return say("since {moment} {how}", moment=format_time(min(known)), how=listed(how))


def _given_at(about: Standing, row: Grant) -> datetime:
    """Return when Thinkific gave it last, or when it was opened if no action of it is kept.

    Undoing leaves the time at which the purchase opened it, though Thinkific gave it again since.
    """
    closed = [run.finished_at for run in about.runs if run.code in CLOSED and run.finished_at]
    opened = max([row.opened_at or row.decided_at, *closed])
    gave = [
        run.finished_at
        for run in about.runs
        if run.grant_id == row.pk and run.spec.gives_access and run.status == Status.DONE
    ]
    return min((moment for moment in gave if moment and moment >= opened), default=opened)


def _by_hand(about: Standing, row: Grant) -> Said:
    """ "by hand, ending 5 May (mia@example.com)" """
    author = shown_who(row.event.author) if row.event else ""
    if ends_at := pending_endings.last_moment(about, row):
        if author:
            return say("by hand, ending {day} ({person})", day=format_day(ends_at), person=author)
        return say("by hand, ending {day}", day=format_day(ends_at))
    return say("by hand ({person})", person=author) if author else say("by hand")


def source(about: Standing, row: Grant) -> Said:
    """Return what gives it, with the address if it is another customer's (the same student)."""
    given_by = sentences.holds(row)
    if row.customer_id == about.customer.pk:
        return given_by
    return say("{source} of {email}", source=given_by, email=row.customer.readable_email)
