"""What a rule did, even if deleted: its actions no longer name it, but their events do."""

from collections.abc import Collection

from django.db import transaction

from events.access import grant_runs
from events.models import Grant, RuleRun, RuleTexts
from events.models.runs import RuleRunQuerySet
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from integrations.sentences import write
from rules.engine import Reason
from rules.models import Rule

# How many of the newest actions of deleted rules are searched.
MAX_RUNS = 5000


def of_deleted(number: int, among: RuleRunQuerySet) -> list[RuleRun]:
    """Return the actions among these that the deleted rule of this number made, newest first."""
    texts = {
        each.pk: each.sentences for each in RuleTexts.objects.filter(sentences__has_key=str(number))
    }
    nobodys = among.filter(rule=None, event__rule_texts__in=texts).select_related("event")
    return [
        run
        for run in nobodys.order_by("-received_at", "-pk")[:MAX_RUNS]
        if [number, Reason.RUN] in run.event.verdicts
        and _fits(run, number, texts[run.event.rule_texts_id or 0])
    ]


def is_deleted(ended: RuleRun) -> bool:
    """Whether the rule that gave the access which this action ended is deleted."""
    gave = grant_runs.giving([ended.grant_id]).filter(event__trigger__isnull=False)
    run = gave.select_related("event__rule_texts").first()
    rules = _may_have_made(run) if run and run.event.rule_texts else []
    # There are several if the product was renamed since; one of them made it.
    return Rule.objects.filter(pk__in=rules).count() < len(rules)


def _fits(run: RuleRun, number: int, texts: dict[str, str]) -> bool:
    """Whether the action's sentence is the rule's, or at least no other rule's."""
    kept = write(run.rule_sentence)
    return texts.get(str(number)) == kept or kept not in texts.values()


def rule_of(run: RuleRun) -> Rule | None:
    """Return the rule that made this action, which no longer names it; None if unclear.

    The event may have the new sentence of a rule that was changed since, so other rules that ran
    for it may seem to have made the action as well. Then the audit is asked.
    """
    rules = _may_have_made(run)
    if len(rules) > 1:
        rules = _led_there(rules, run)
    return Rule.objects.filter(pk=rules[0]).first() if len(rules) == 1 else None


def _may_have_made(run: RuleRun) -> list[int]:
    """Return the numbers of the rules that ran for the action's event and fit its sentence."""
    texts = run.event.rule_texts.sentences if run.event.rule_texts else {}
    ran = {number for number, why in run.event.verdicts if why == Reason.RUN}
    return [number for number in ran if _fits(run, number, texts)]


def _led_there(rules: Collection[int], run: RuleRun) -> list[int]:
    """Return those of these rules that gave this action's course or bundle before a change."""
    place = Destination.objects.of_target(run.integration_id, run.target)
    entries = AuditEntry.objects.filter(
        act=Act.RULE_CHANGED,
        kind=Rule._meta.model_name,
        number__in=map(str, rules),
        # A list, because PostgreSQL compares no value within JSON with a column of numbers.
        before__destination__number__in=list(place.values_list("pk", flat=True)),
    )
    return sorted({int(entry) for entry in entries.values_list("number", flat=True)})


def give_back(rule: Rule) -> None:
    """Let the actions of a deleted rule that was restored name it again.

    Actions whose buyers were moved to something else are left out: the rule may run again for
    these.
    """
    with transaction.atomic():
        known = {(run.event_id, run.form) for run in RuleRun.objects.filter(rule=rule)}
        for run in of_deleted(rule.pk, RuleRun.objects.select_related("grant")):
            run.rule = rule
            waived = run.grant is not None and run.grant.state == Grant.State.WAIVED
            if not waived and (run.event_id, run.form) not in known:
                known.add((run.event_id, run.form))
                run.save(update_fields=["rule"])
