"""When an unfinished action goes on: by itself, or after a person did something."""

from collections.abc import Collection
from enum import StrEnum

from events.models import RuleRun
from integrations import app_registry
from integrations.models import Integration
from integrations.sentences import Said, joined, say
from rules.actions.enrollments import GONE, UNLISTED

Status = RuleRun.Status


class Need(StrEnum):
    """What a person must do before an action can be carried out."""

    KEY = "key"
    RELEASE = "release"
    COURSE = "course"


def needs_a_person(run: RuleRun) -> bool:
    """Whether a run waits for an integration that is off, or whose key is refused."""
    site = run.integration
    if run.status != Status.WAITING or site is None:
        return False
    return _is_closed(site)


def _is_closed(site: Integration) -> bool:
    return not site.enabled or site.connection == Integration.Connection.REFUSED


def given_by_hand_waits(without: Collection[int | None] = ()) -> list[Said]:
    """Say of each closed site that access given by hand waits for it, too.

    `without` are the IDs of sites of which that is said already.
    """
    sites = Integration.objects.filter(app__in=app_registry.with_catalog()).order_by("pk")
    return [told for site in sites if site.pk not in without and (told := waits_for(site))]


def waits_for(site: Integration | None) -> Said | None:
    """Say that access given by hand waits for this site, too; None if it does not."""
    if site is None or not _is_closed(site):
        return None
    closed = say("{site} is turned off.", site=site)
    if site.enabled:
        closed = say("Thinkific rejects the key of {site}.", site=site)
    return joined([closed, say("Access that is given there by hand waits, too.")])


def goes_on(run: RuleRun) -> Said:
    """Say, for use inside a sentence, when an unfinished run goes on: "continues by itself"."""
    site = run.integration
    if site is None or not needs_a_person(run):
        return say("continues by itself")
    if not site.enabled:
        return say("continues as soon as {site} is turned on", site=site)
    return say(
        "continues as soon as the key of {site} works again or another one is entered", site=site
    )


def failed_as_gone(run: RuleRun) -> bool:
    """Whether it failed because the course or bundle that its rule gives is gone.

    Its own code tells that, which costs no query for each row of a list.
    """
    failed = run.status == Status.FAILED and run.code in {GONE, UNLISTED}
    return failed and run.spec.gives_access and run.rule_id is not None


def needed(run: RuleRun) -> Need | None:
    """Return what a person must do first, if anything beside turning an integration on."""
    if run.status == Status.HELD:
        return Need.RELEASE
    if failed_as_gone(run):
        return Need.COURSE
    waits_for_key = needs_a_person(run) and run.integration is not None and run.integration.enabled
    return Need.KEY if waits_for_key else None
