"""Whether the customer can get in, and if not, why: the first lines of a customer's page.

`why` has the sentences about one course or bundle, which are read from the grants.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from events.models import EventLog, RuleRun, Worker
from events.models.runs import UNFINISHED
from events.reports import review
from events.reports.access.standing import MAX_ROWS, UNDECIDED, Standing
from events.reports.customers import (
    empty_purchases,
    left_behind_customer,
    letter,
    own_rules_customer,
    purchase_sentences,
    replies,
)
from events.reports.customers.empty_purchases import EmptyPurchases
from events.reports.sentences import payers, pending_endings, why
from events.reports.sentences.leads import EndAccess, EndTogether
from events.reports.sentences.sentence import BAD, GOOD, QUIET, WAIT, Code, Sentence, of_order
from integrations.finding import mistyped_email
from integrations.models import Customer, ThinkificUser
from integrations.sentences import Said, format_time, joined, say, say_count
from integrations.who import shown_who
from rules import actions

ORDER = (BAD, WAIT, GOOD, QUIET)
# These come after what the customer has: they are no reason why something does not open now.
AFTERWARDS = {Code.ENDS_LATER}


@dataclass(frozen=True, slots=True)
class AccessReport:
    """What to tell the person who asks, and what to write to the customer.

    `language` is the language code of the reply. `targets` are the courses and bundles that the
    customer has now. `may_move` says whether there is access that can move to another e-mail.
    `doubt` says why the e-mail may be mistyped, "" if it looks right or nothing depends on it.
    """

    lines: tuple[Sentence, ...]
    reply: str
    language: str
    targets: tuple[str, ...]
    may_move: bool
    doubt: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether the customer has nothing and waits for nothing."""
        return all(line.kind == QUIET for line in self.lines)

    @property
    def waits_for_site(self) -> bool:
        """Whether access waits for an integration, as what is given by hand would, too."""
        return any(line.waits_for_site for line in self.lines)


def describe(customer: Customer, *, searched: str = "") -> AccessReport:
    """Return the sentences about this customer, the most serious first, and the reply.

    `searched` is the similar e-mail that a person looked for, if it led to this customer.
    """
    doubt = mistyped_email.doubt(customer.readable_email, searched)
    told = why.of_customer(customer)
    others = list(_without_target(customer))
    besides = [run for run in others if not run.spec.passes_on]
    bought = empty_purchases.of_customer(customer)
    partly = own_rules_customer.of_customer(customer)
    lines = sorted(_lines(customer, told, besides, bought, partly.lines), key=_rank)
    lines = _decided_together(_advised_once(_without_sign_in(lines) if doubt else lines))
    if not lines:
        dealt = [*map(_was_dealt_with, bought.dealt)]
        lines = dealt or _nothing(why.display_name(customer), customer)
    template = letter.current()
    reply = replies.reply(
        customer,
        told,
        template,
        bought,
        in_doubt=partly.in_doubt,
        besides=[run.event for run in besides],
        is_doubted=bool(doubt),
    )
    # Actions that pass on say nothing about the customer's access, so they come last.
    lines += [why.besides(run) for run in others if run.spec.passes_on and run.status in UNDECIDED]
    may_move = any(each.given for each, _ in told)
    report = AccessReport(tuple(lines), reply, template.language, _targets(told), may_move, doubt)
    return replace(report, doubt="") if report.is_settled else report


def _lines(
    customer: Customer,
    told: Sequence[tuple[Standing, Sentence]],
    besides: Sequence[RuleRun],
    bought: EmptyPurchases,
    partly: Sequence[Sentence],
) -> list[Sentence]:
    return [
        *_of_access(told, explained=bool(bought.nothing or bought.dealt)),
        *(line for each, _ in told if each.grants for line in pending_endings.lines(each)),
        *(why.besides(run) for run in besides if run.status in UNDECIDED),
        *_nothing_goes_on(told, besides),
        *purchase_sentences.that_gave_nothing(bought.nothing, bought.back, bought.had),
        *partly,
        *map(purchase_sentences.gives_another, left_behind_customer.of_customer(customer)),
        *_not_understood(customer),
        *_administrators(customer),
        *payers.sentences(customer),
    ]


def _targets(told: Sequence[tuple[Standing, Sentence]]) -> tuple[str, ...]:
    """Return what the customer has in Thinkific now. What is being ended is open until then."""
    return tuple(
        each.target
        for each, sentence in told
        if sentence.code == Code.ENDING or (each.held and sentence.code != Code.GONE)
    )


def _of_access(told: Sequence[tuple[Standing, Sentence]], *, explained: bool) -> list[Sentence]:
    """Return the sentences about courses and bundles, without those that no purchase gave.

    Rules for every product also run for refunds of products that give something else. If all
    sentences are about such rules, the first one stays, unless the purchase that gave nothing has
    a sentence of its own, so that it is `explained`.
    """
    given = [sentence for each, sentence in told if not each.gave_nothing]
    return given if given or explained else [sentence for _, sentence in told[:1]]


def _without_sign_in(lines: list[Sentence]) -> list[Sentence]:
    """Return the lines without the advice that only helps those whose e-mail is right."""
    return [replace(line, text=line.short) if line.advises_sign_in else line for line in lines]


def _advised_once(lines: list[Sentence]) -> list[Sentence]:
    """Return the lines without advice that an earlier line gives already."""
    first = next((line for line in lines if line.short), None)
    return [
        replace(line, text=line.short) if line.short and line is not first else line
        for line in lines
    ]


def _decided_together(lines: Sequence[Sentence]) -> list[Sentence]:
    """Return the lines; where several are about one refund or cancellation, the first leads to all.

    The courses of a bundle are one holding, so each of its lines alone would lead to all of them.
    """
    groups: dict[int | None, list[EndAccess]] = defaultdict(list)
    for line in lines:
        groups[line.event] += _endings(line)
    found: list[Sentence] = []
    told: set[int | None] = set()
    for line in lines:
        group = groups[line.event] if _endings(line) else []
        several = [end for end in group if group.count(end) > 1]
        leads = [lead for lead in line.leads if lead not in several]
        if len(group) > 1 and line.event not in told:
            keys = dict.fromkeys(end.holding for end in group)
            leads.append(EndTogether(group[0].customer, (*keys,), len(group)))
            told.add(line.event)
        found.append(replace(line, leads=(*leads,)))
    return found


def _endings(line: Sentence) -> list[EndAccess]:
    """Return the offer to end what a refund or cancellation left open, if the line has one."""
    leads = line.leads if line.code == Code.NOT_ENDED else ()
    return [lead for lead in leads if isinstance(lead, EndAccess)]


def _rank(line: Sentence) -> int:
    afterwards = line.kind == WAIT and line.code in AFTERWARDS
    return ORDER.index(GOOD if afterwards else line.kind)


def _without_target(customer: Customer) -> QuerySet[RuleRun]:
    """Return the newest actions that change no access, without what was passed on successfully."""
    runs = RuleRun.objects.filter(customer=customer, target="")
    runs = runs.exclude(action__in=actions.passing_on(), status=RuleRun.Status.DONE)
    runs = runs.select_related("event", "event__product", "integration")
    return runs.order_by("-received_at", "-pk")[:MAX_ROWS]


def _nothing_goes_on(
    told: Sequence[tuple[Standing, Sentence]], besides: Sequence[RuleRun]
) -> list[Sentence]:
    """Return the sentence that waiting actions do not go on, if some wait and no worker runs."""
    runs = [*(run for each, _ in told for run in each.runs), *besides]
    if not any(run.status in UNFINISHED for run in runs) or not Worker.objects.are_silent():
        return []
    text = say(
        "Nothing is being carried out: no worker has been seen for two minutes. Nothing received "
        "is lost. Call your technician."
    )
    return [Sentence(WAIT, text, Code.NO_WORKER)]


def _not_understood(customer: Customer) -> list[Sentence]:
    return [
        Sentence(
            WAIT,
            joined(
                [
                    say("Nothing was done yet about an event{order}.", order=of_order(event)),
                    event.reason,
                ]
            ),
            Code.NOT_UNDERSTOOD,
            event=event.pk,
        )
        for event in empty_purchases.told(review.not_understood().filter(customer=customer))
    ]


def _administrators(customer: Customer) -> list[Sentence]:
    thinkific_users = ThinkificUser.objects.filter(customer=customer, administrator=True)
    return [
        Sentence(
            WAIT,
            say(
                "This e-mail is an administrator of {site}; enrollments of administrators do not "
                "show in Thinkific. Test with another address.",
                site=thinkific_user.integration,
            ),
            Code.ADMINISTRATOR,
        )
        for thinkific_user in thinkific_users.select_related("integration")
    ]


def _was_dealt_with(event: EventLog) -> Sentence:
    assert event.dealt_with_at is not None
    text = say(
        "Paid for {product}{order}; no rule gave anything for it, and {person} dealt with it on "
        "{moment}.",
        person=shown_who(event.dealt_with_by) or say("somebody"),
        moment=format_time(event.dealt_with_at),
        **purchase_sentences.facts_of(event),
    )
    return Sentence(QUIET, text, Code.GAVE_NOTHING, event=event.pk)


def _nothing(name: str, customer: Customer) -> list[Sentence]:
    anything = EventLog.objects.filter(customer=customer).exists()
    return [Sentence(QUIET, _never(name, customer, anything=anything), Code.NOTHING)]


def _never(name: str, customer: Customer, *, anything: bool) -> Said:
    if anything:
        return say(
            "{name} bought nothing that a rule gives access for. Look at the events below.",
            name=name,
        )
    days, email = settings.KEEP_EVENTS_DAYS, customer.readable_email
    if days and customer.created_at < timezone.now() - timedelta(days=days):
        return say_count(
            days,
            "Nothing was received for {email} in the last day.",
            "Nothing was received for {email} in the last {number} days.",
            email=email,
        )
    return say("Nothing was received for {email}.", email=email)
