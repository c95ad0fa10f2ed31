"""What is due when a run begins, by the ledger as it stands then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from events.access import ledger, sentences
from events.models import Grant, RuleRun
from integrations.models import ThinkificUser


@dataclass(frozen=True, slots=True)
class Due:
    """`nothing` says why there is nothing to do, "" where there is.

    `kept` are the courses and bundles at the site that the student has, by what gives them:
    {"course:501": "order 1183"}.
    """

    nothing: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)


NOTHING_KNOWN = Due()


def due(runs: Sequence[RuleRun]) -> dict[int, Due]:
    """What is due for each of these runs, by pk; runs that change no access are not in it."""
    grants = Grant.objects.in_bulk({run.grant_id for run in runs if run.grant_id})
    found = {}
    for run in runs:
        if run.spec.gives_access:
            grant = grants.get(run.grant_id or 0)
            found[run.pk] = Due(_over(grant, run)) if grant else NOTHING_KNOWN
    ending = [run for run in runs if run.spec.ends_access]
    return found | _kept(ending)


def _over(grant: Grant, run: RuleRun) -> str:
    """Why the run is not to give what the grant is for, "" while it is."""
    if grant.customer_id != run.customer_id:
        return sentences.MOVED
    return "" if grant.is_active else sentences.not_due(grant)


def same_user(runs: Sequence[RuleRun]) -> dict[tuple[int | None, int | None], set[int]]:
    """{(site, customer): the customers who are one Thinkific user with this one}"""
    pairs = {(run.integration_id, run.customer_id) for run in runs}
    known = ThinkificUser.objects.filter(
        integration__in={site for site, _ in pairs}, customer__in={who for _, who in pairs}
    )
    users = {(each.integration_id, each.customer_id): each.user_id for each in known}
    sharing = ThinkificUser.objects.filter(
        integration__in={site for site, _ in users}, user_id__in=set(users.values())
    )
    found: dict[tuple[int, int], set[int]] = {}
    for each in sharing:
        found.setdefault((each.integration_id, each.user_id), set()).add(each.customer_id)
    same = {}
    for site, who in pairs:
        user = users.get((site or 0, who or 0))
        mine = found.get((site or 0, user), set()) if user is not None else set()
        same[site, who] = mine | ({who} if who else set())
    return same


def _kept(ending: Sequence[RuleRun]) -> dict[int, Due]:
    """What those who lose access keep, by the grants of all who are the same Thinkific user."""
    if not ending:
        return {}
    same = same_user(ending)
    whom = Q(pk__in=())
    for (site, _), customers in same.items():
        whom |= Q(integration=site, customer__in=customers)
    rows = list(Grant.objects.filter(whom))
    found = {}
    for run in ending:
        customers = same[run.integration_id, run.customer_id]
        mine = [
            row
            for row in rows
            if row.integration_id == run.integration_id and row.customer_id in customers
        ]
        found[run.pk] = Due(kept=_by_part(mine))
    return found


def _by_part(grants: Sequence[Grant]) -> dict[str, str]:
    kept = {}
    for grant in grants:
        for part in grant.parts if grant.is_active else ():
            holder = ledger.holder(grants, grant.integration_id, part)
            if holder is not None:
                kept[part] = sentences.holds(holder)
    return kept
