"""Links from what was done for several rows at once to the page of its results."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.parts import badges, moving_again, times
from config.admin.parts.buttons import BACK
from events.models import Batch, RuleRun
from events.reports.batches import Done
from integrations.audit import Act
from integrations.audit_values import BATCH
from integrations.models import AuditEntry
from integrations.sentences import Said, format_day, say, say_count
from rules.models import Rule

SEES = "events.view_rulerun"
# At most this many rules are named for running them again.
MAX_RULES = 20


def number_of(entry: AuditEntry) -> int | None:
    """Return the number of the batch that this was a part of, None if of none."""
    found = (entry.after or {}).get(BATCH)
    return found if isinstance(found, int) else None


def existing_batches(request: HttpRequest, entries: Iterable[AuditEntry]) -> dict[int, Batch]:
    """Return the batches of these entries that still exist, by number.

    Returns none for a person who may not see them.
    """
    numbers = {number_of(entry) for entry in entries} - {None}
    if not numbers or not allowed(request, SEES):
        return {}
    return Batch.objects.in_bulk(list(numbers))


def link(request: HttpRequest, number: int) -> SafeString:
    """Return a link "See the results" to the batch's page, which leads back to this one."""
    asked = {"number": number, BACK: request.get_full_path()}
    page = f"{reverse('admin:batch')}?{urlencode(asked)}"
    return format_html('<a href="{}">{}</a>', page, say("See the results"))


def of_rules(request: HttpRequest, rules: Collection[Rule]) -> SafeString | None:
    """Return "Ran for 3 earlier buyers on 28 Nov. See the results" for the latest such run.

    None if there was none for these rules, or its results are not kept.
    """
    entries = AuditEntry.objects.filter(
        act=Act.BUYERS_ENROLLED,
        kind=Rule._meta.model_name,
        number__in=[str(rule.pk) for rule in rules],
    )
    newest = entries.order_by("-pk").first() if rules else None
    if newest is None or not (found := existing_batches(request, [newest])):
        return None
    same = entries.filter(**{f"after__{BATCH}": number_of(newest)})
    text = say_count(
        max((entry.after or {}).get("buyers", 0) for entry in same),
        "Ran for 1 earlier buyer on {day}.",
        "Ran for {number} earlier buyers on {day}.",
        day=format_day(newest.at),
    )
    return format_html("{} {}", text, link(request, next(iter(found))))


@dataclass(frozen=True, slots=True)
class DatedLine:
    """A line of what was done to an event, with its time, which `text` also shows."""

    at: datetime
    text: SafeString


@dataclass(frozen=True, slots=True)
class Among:
    """What was done to an event as one of several, among its actions in the order of time.

    `before` are the lines that stand before an action, by its pk, `after` those after the last.
    """

    before: Mapping[int, Sequence[SafeString]]
    after: Sequence[SafeString]


def among(runs: Iterable[RuleRun], lines: Iterable[DatedLine]) -> Among:
    """Put the lines of an event among its actions. Both are oldest first."""
    left, before = list(lines), {}
    for run in runs:
        at = run.finished_at or run.started_at  # without either, it is still to come
        earlier = [line for line in left if at is None or line.at <= at]
        before[run.pk] = [line.text for line in earlier]
        left = left[len(earlier) :]
    return Among(before, [line.text for line in left])


def of_events(request: HttpRequest, done: Done) -> dict[int, list[DatedLine]]:
    """Return {event: what was done to it as one of several, the oldest first}.

    `done` comes from `batches.batch_acts`.
    """
    known = existing_batches(request, (entry for acts in done.values() for entry in acts))
    found: dict[int, list[DatedLine]] = {}
    for event, acts in done.items():
        for entry in reversed(acts):
            batch = known.get(number_of(entry) or 0)
            if batch is not None:
                # The title may be a sentence, such as that of a rule, or cut.
                title = badges.brief(batch.title)
                title += "" if title.endswith((".", "…")) else "."
                facts = times.when(entry.at), title, link(request, batch.pk)
                line = DatedLine(entry.at, format_html("{} {} {}", *facts))
                found.setdefault(event, []).append(line)
    return found


def instead_of_undo(request: HttpRequest, batch: Batch) -> tuple[Said, str, Said] | None:
    """Return what to do if this batch undid another by mistake: a sentence, a page and its label.

    None if it undid none.
    """
    undone = batch.undoes
    if undone is None:
        return None
    # What the actions gave was undone, so they name no rule anymore.
    entries = AuditEntry.objects.filter(act=Act.BUYERS_ENROLLED, kind=Rule._meta.model_name)
    ran = entries.filter(**{f"after__{BATCH}": undone.pk}).values_list("number", flat=True)
    known = Rule.objects.filter(pk__in=[int(number) for number in ran])
    rules = list(known.order_by("pk").values_list("pk", flat=True)[:MAX_RULES])
    if rules and allowed(request, "events.rerun_eventlog"):
        text = say(
            "An undo for several buyers cannot be undone itself. To give it to them again, run the "
            "rule: its page has a button for those for whom it was undone."
        )
        page = f"{reverse('admin:earlier')}?{urlencode({'rule': rules}, doseq=True)}"
        return text, page, say("Run the rule for them again")
    if page := moving_again.address(request, undone):
        text = say("To undo this, move them again.")
        return text, page, say("See and move them")
    text = say(
        "An undo for several buyers cannot be undone itself. Open each of them, and end or give "
        "the access there."
    )
    page = f"{reverse('admin:batch')}?{urlencode({'number': undone.pk})}"
    return text, page, say("See what was undone")
