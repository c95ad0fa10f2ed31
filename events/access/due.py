"""What is due when a run begins, by the ledger at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from events.access import given_before, ledger, sentences, students
from events.access.sale import Sale
from events.models import Grant, RuleRun
from integrations.models import Destination
from integrations.sentences import say
from integrations.targets import Target, course_target
from integrations.thinkific.attempt import GivenBefore


@dataclass(frozen=True, slots=True)
class Due:
    """What the ledger says about a run that begins.

    `nothing` says why there is nothing to do; it is "" if there is something. `still_given` are the
    courses and bundles at the site that another grant gives, with its name: {"course:501":
    "order 1183"}. `only` are the courses of the run's bundle to give if some have ended; None if
    none has. `gave` are the courses that the bundle's purchase gave, even if Thinkific does not
    show them with the bundle. `until` are the ends that access from before Admit had, by target.
    `given_before` tells what was not given by the run's purchase; None if that cannot be told.
    """

    nothing: str = ""
    still_given: Mapping[str, str] = field(default_factory=dict)
    only: tuple[int, ...] | None = None
    gave: tuple[int, ...] = ()
    until: Mapping[str, datetime] = field(default_factory=dict)
    given_before: GivenBefore | None = None


NOTHING_KNOWN = Due()


def due(runs: Sequence[RuleRun]) -> dict[int, Due]:
    """Return what is due for each run, by pk. Runs that change no access are left out."""
    grants = Grant.objects.in_bulk({run.grant_id for run in runs if run.grant_id})
    # To give a single course, its own grant is enough.
    asks = [run for run in runs if run.target and _asks(run, grants.get(run.grant_id or 0))]
    of_student = _of_students(asks)
    found = {}
    for run in runs:
        grant = grants.get(run.grant_id or 0)
        if run.spec.ends_access:
            mine = of_student[run.pk]
            gave = _gave(grant, mine) if grant and Target.parse(grant.target).is_bundle else ()
            still_given = _still_given(_counting(run, mine))
            found[run.pk] = Due(still_given=still_given, gave=gave, until=_until(mine, still_given))
        elif run.spec.gives_access and grant is not None:
            found[run.pk] = _given(grant, run, of_student.get(run.pk, []))
    for pk, before in given_before.told(runs, grants, of_student).items():
        found[pk] = replace(found[pk], given_before=before)
    return found


def _asks(run: RuleRun, grant: Grant | None) -> bool:
    """Whether what is due for the run depends on other grants than its own."""
    return run.spec.ends_access or bool(grant and grant.is_active and grant.course_ids)


def _given(grant: Grant, run: RuleRun, mine: Sequence[Grant]) -> Due:
    if grant.customer_id != run.customer_id:
        return Due(say("Nothing to do: a person moved this access to another e-mail."))
    if not grant.is_active:
        return Due(sentences.not_due(grant))
    given = ledger.holders(mine)
    held = [
        number
        for number in grant.course_ids
        if (grant.integration_id, course_target(number)) in given
    ]
    if len(held) == len(grant.course_ids):
        return NOTHING_KNOWN
    if not held:
        return Due(
            say(
                "Nothing to do: the access to every course of {bundle} has ended.",
                bundle=grant.name,
            )
        )
    return Due(only=tuple(held))


def _counting(run: RuleRun, mine: Sequence[Grant]) -> list[Grant]:
    """Return the grants that keep access for which the run's own grant has ended.

    If its rule ends access whatever gave it, only what was decided after the event counts.
    """
    lasting = [row for row in mine if row.until is None]
    if not run.ends_all:
        return lasting
    at = run.received_at
    return [row for row in lasting if row.decided_at > at or row.is_kept_after(at)]


def _until(mine: Sequence[Grant], still_given: Mapping[str, str]) -> dict[str, datetime]:
    """Return the future ends of access from before Admit, by target; not of what is still given."""
    now = timezone.now()
    return {
        row.target: row.until
        for row in mine
        if row.is_active and row.until and row.until > now and row.target not in still_given
    }


def _gave(bundle: Grant, mine: Sequence[Grant]) -> tuple[int, ...]:
    """Return the bundle's courses; if Thinkific never had it, those the purchase gave singly."""
    sale = Sale.of(bundle)
    bought = [row for row in mine if row.opened_at and sale.is_same(Sale.of(row))]
    targets = [Target.parse(row.target) for row in bought]
    alone = [target.number for target in targets if target.is_course]
    inside = bundle.course_ids if bundle.seen_at else [n for n in alone if n in bundle.course_ids]
    return tuple(sorted(set(inside)))


def _of_students(runs: Sequence[RuleRun]) -> dict[int, list[Grant]]:
    """Return, by pk of the run, the grants at its site of all customers who are its student."""
    if not runs:
        return {}
    same = students.same_users((run.integration_id, run.customer_id) for run in runs)
    whom = Q(pk__in=())
    for (site, _), customers in same.items():
        whom |= Q(integration=site, customer__in=customers)
    rows = list(Grant.objects.filter(whom))
    _add_todays_courses(rows)
    return {
        run.pk: [
            row
            for row in rows
            if row.integration_id == run.integration_id
            and row.customer_id in same[run.integration_id, run.customer_id]
        ]
        for run in runs
    }


def _add_todays_courses(rows: Sequence[Grant]) -> None:
    """Add to active bundles, in memory, the courses that were added to them since they were given.

    Thinkific gives these to members within a day.
    """
    bundles = [row for row in rows if row.is_active and Target.parse(row.target).is_bundle]
    if not bundles:
        return
    found = Destination.objects.filter(
        kind=Destination.Kind.BUNDLE,
        integration__in={row.integration_id for row in bundles},
        external_id__in={Target.parse(row.target).number for row in bundles},
    )
    today = {(each.integration_id, each.target): each.course_ids for each in found}
    for row in bundles:
        added = today.get((row.integration_id, row.target), [])
        row.course_ids = [*dict.fromkeys([*row.course_ids, *added])]


def _still_given(grants: Sequence[Grant]) -> dict[str, str]:
    """Return what these grants give, each with what gives it; a bundle only as a whole."""
    given = ledger.holders(grants)
    still_given: dict[str, str] = {part: sentences.holds(row) for (_, part), row in given.items()}
    for grant in grants:
        if not grant.parts <= still_given.keys():
            still_given.pop(grant.target, None)
    return still_given
