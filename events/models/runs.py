"""Rule runs: one rule carried out for one event, with claim, lease and order."""

from typing import Any
from uuid import UUID, uuid4

from django.db import models
from django.db.models import Q, Value
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from events.models.access import Grant
from events.models.event_log import EventLog
from integrations.models import Customer, Integration
from integrations.sentences import SentenceField, joined
from rules import actions
from rules.actions import ActionSpec
from rules.models import Rule

UNFINISHED = ("waiting", "running")
# The code of an ending that waits for its day. Nothing is decided on it before.
DELAYED = "delayed"
# The code of an ending that a person must release, because there were too many at once.
BRAKED = "braked"
# The code of an ending that our own code failed to decide on when its day came.
UNDECIDED = "undecided"
# The code of what a person has dismissed.
DISMISSED = "dismissed"
_DELAYED = Q(status="waiting", code=DELAYED)


# A rule by number, and to which course or bundle of which integration it leads.
Form = tuple[int | None, int | None, str]


def _form(rule: int | None, what: "Rule | RuleRun") -> Form:
    # What is passed on is passed on once, whoever receives it by now.
    integration = None if what.spec.passes_on else what.integration_id
    return rule, integration, what.target


class RuleRunQuerySet(models.QuerySet["RuleRun"]):
    def due(self) -> "RuleRunQuerySet":
        """Waiting runs whose time has come."""
        return self.filter(status=RuleRun.Status.WAITING, next_attempt_at__lte=Now())

    def lapsed(self) -> "RuleRunQuerySet":
        """Running runs whose worker has not renewed the lease: it died or hangs."""
        return self.filter(status=RuleRun.Status.RUNNING, lease_until__lt=Now())

    def orphaned(self) -> "RuleRunQuerySet":
        """Waiting runs that can never be carried out: their site or customer was deleted."""
        gone = Q(integration=None) | self._without_a_needed_customer()
        return self.filter(gone, status=RuleRun.Status.WAITING)

    def decided(self) -> "RuleRunQuerySet":
        """Without the endings that wait for their day, or whose day has just come."""
        return self.exclude(code=DELAYED)

    def delayed(self) -> "RuleRunQuerySet":
        """Endings that wait for their day."""
        return self.filter(_DELAYED)

    def pending(self) -> "RuleRunQuerySet":
        """Endings that wait for their day, or for a person who releases them."""
        return self.filter(_DELAYED | Q(status=RuleRun.Status.HELD, code=BRAKED))

    def dismissible(self) -> "RuleRunQuerySet":
        """What a person may end: failed or held runs, and endings that wait for their day."""
        return self.filter(_DELAYED | Q(status__in=[RuleRun.Status.FAILED, RuleRun.Status.HELD]))

    def with_customer(self) -> "RuleRunQuerySet":
        """Those that have the customer whom they need."""
        return self.filter(Q(customer__isnull=False) | Q(action__in=actions.passing_on()))

    def without_email(self) -> "RuleRunQuerySet":
        """Failed runs whose event has no usable e-mail address, so that a retry cannot help."""
        # By an expression: SQLite would look through all that failed, and few have no customer.
        failed = self.alias(state=Coalesce("status", Value(""))).filter(state=RuleRun.Status.FAILED)
        return failed.filter(self._without_a_needed_customer())

    @staticmethod
    def _without_a_needed_customer() -> Q:
        return Q(customer=None) & ~Q(action__in=actions.passing_on())

    def lost(self) -> "RuleRunQuerySet":
        """What gave access that is due, but to an account that was deleted in Thinkific since."""
        done = self.filter(status=RuleRun.Status.DONE, action__in=actions.giving_access())
        its_grant = Grant.objects.active().lost().filter(pk=models.OuterRef("grant"))
        return done.filter(models.Exists(its_grant))

    def stranded(self) -> "RuleRunQuerySet":
        """What was last to give access that Thinkific may not hold, and that nothing gives now."""
        giving = RuleRun.objects.filter(action__in=actions.giving_access())
        at = models.OuterRef("received_at")
        later = giving.filter(
            Q(received_at__gt=at) | Q(received_at=at, pk__gt=models.OuterRef("pk")),
            grant=models.OuterRef("grant"),
        )
        last = self.filter(~models.Exists(later), action__in=actions.giving_access())
        return last.filter(grant__in=Grant.objects.stranded())

    def next_in_line(self) -> "RuleRunQuerySet":
        """Runs that no other run of the same customer and site blocks.

        Nothing runs beside them, and of those that are due they were received first. The order is
        for people who read the log: what is due decides, whichever of them goes first. What is
        passed on for nobody goes at any time. An ending whose day has come blocks nothing before
        it is decided, for no worker takes it until then.
        """
        beside, first = _before()
        for_nobody = Q(customer=None, action__in=actions.passing_on())
        return self.filter(~models.Exists(beside), for_nobody | Q(pk=models.Subquery(first)))

    def end(self, status: str, code: str, message: str) -> int:
        """End them all, skipped or failed, for this reason; how many."""
        over = {"finished_at": Now(), "next_attempt_at": None}
        return self.update(status=status, code=code, message=message, **over)

    def behind_another(self) -> "RuleRunQuerySet":
        """Waiting runs that `next_in_line` leaves out; one claimed just now does not wait."""
        beside, first = _before()
        waiting = self.filter(status=RuleRun.Status.WAITING)
        return waiting.filter(models.Exists(beside) | ~Q(pk=models.Subquery(first)))

    def held_by(self, token: "UUID | Combinable") -> "RuleRunQuerySet":
        """The run while this lease is still ours."""
        return self.filter(status=RuleRun.Status.RUNNING, lease_token=token)


def _before() -> "tuple[RuleRunQuerySet, models.QuerySet[Any, Any]]":
    """For a run of the outer query: what runs beside it, and which run comes first in its line."""
    same = RuleRun.objects.filter(
        customer=models.OuterRef("customer"), integration=models.OuterRef("integration")
    )
    beside = same.filter(status=RuleRun.Status.RUNNING).exclude(pk=models.OuterRef("pk"))
    # The first one, rather than that none is earlier: the indexes of what waits have them in
    # this order, so a long line is not walked for each of its runs.
    # The statuses are part of the statement: SQLite does not match parameters with the condition
    # of an index, and would look at all that was ever done at the site.
    unfinished = [RawSQL(f"'{status}'", ()) for status in UNFINISHED]  # noqa: S611 - our words
    waiting = same.filter(status__in=unfinished).filter(status=RuleRun.Status.WAITING)
    itself = Q(pk=models.OuterRef("pk"))
    before = waiting.filter(Q(next_attempt_at__lte=Now()) & ~Q(code=DELAYED) | itself)
    return beside, before.order_by("received_at", "id").values("pk")[:1]


class RuleRun(models.Model):
    """What is to be done, copied from the rule: history survives edits and deletes.

    waiting goes on by itself; running is under a lease; done and skipped are over;
    failed and held need a person.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        SKIPPED = "skipped", _("Skipped")
        FAILED = "failed", _("Failed")
        HELD = "held", _("Waits for you")

    # Where `db_index` is False, an index of Meta begins with the column.
    event = models.ForeignKey(EventLog, models.CASCADE, related_name="runs", db_index=False)
    rule = models.ForeignKey(Rule, models.SET_NULL, null=True, related_name="runs", db_index=False)
    integration = models.ForeignKey(
        Integration, models.SET_NULL, null=True, related_name="runs", db_index=False
    )
    customer = models.ForeignKey(
        Customer, models.SET_NULL, null=True, related_name="runs", db_index=False
    )
    # What it changes in the ledger; None while it is held, and of an action that changes no access.
    grant = models.ForeignKey(Grant, models.SET_NULL, null=True, related_name="runs")
    received_at = models.DateTimeField()

    action = models.CharField(_("action"), max_length=40, choices=actions.choices)
    # None of an action without a course or bundle, which is named by its integration.
    destination_id = models.BigIntegerField(_("Thinkific ID"), null=True)
    destination_name = models.CharField(_("course or bundle"), max_length=255)
    # "course:501", "bundle:7"; "" of an action that changes no access.
    target = models.CharField(max_length=40)
    site = models.CharField(max_length=253)
    rule_sentence = SentenceField()
    # Under which a receiver knows what it was sent: a person's retry is a new message.
    message_id = models.UUIDField(null=True, default=uuid4, editable=False)

    status = models.CharField(max_length=7, choices=Status.choices, default=Status.WAITING)
    # Why it has this status: for scripts and for our own logic, the same whatever the message says.
    code = models.CharField(max_length=40, blank=True)
    message = SentenceField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    # Attempts that ended without a result because the worker died.
    crashes = models.PositiveSmallIntegerField(default=0)
    # It ends the access whatever gave it, not only what its own purchase gave.
    ends_all = models.BooleanField(default=False)
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RuleRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("action")
        verbose_name_plural = _("actions")
        permissions = [("retry_rulerun", "Can retry"), ("dismiss_rulerun", "Can dismiss")]
        constraints = [
            # A rule that leads elsewhere since may run once more.
            models.UniqueConstraint(
                fields=["event", "rule", "integration", "target"],
                name="run_once_per_event_and_rule",
            ),
        ]
        indexes = [
            models.Index(
                fields=["integration", "received_at", "id"],
                condition=Q(status="waiting"),
                name="run_waiting",
            ),
            models.Index(fields=["next_attempt_at"], condition=Q(status="waiting"), name="run_due"),
            models.Index(fields=["next_attempt_at"], condition=_DELAYED, name="run_delayed"),
            models.Index(
                fields=["integration", "lease_until"],
                condition=Q(status="running"),
                name="run_running",
            ),
            models.Index(
                fields=["customer", "integration", "received_at", "id"],
                condition=Q(status__in=UNFINISHED),
                name="run_order",
            ),
            models.Index(
                fields=["customer", "integration", "target", "received_at"], name="run_of_target"
            ),
            models.Index(fields=["status", "-received_at"], name="run_by_status"),
            models.Index(fields=["-received_at", "-id"], name="run_newest"),
            models.Index(fields=["integration", "-received_at", "-id"], name="run_of_site"),
            models.Index(fields=["rule", "-received_at"], name="run_of_rule"),
        ]

    def __str__(self) -> str:
        return joined([self.spec.label, self.destination_name], by=": ")

    def skip(self, code: str, message: str) -> None:
        """End it for this reason, with nothing done; not saved."""
        self.status, self.code, self.message = self.Status.SKIPPED, code, message
        self.finished_at, self.next_attempt_at = timezone.now(), None

    @property
    def is_pending(self) -> bool:
        """Whether it is an ending that waits for its day, or for a person who releases it.

        Nothing is decided on it, so the access stays.
        """
        return (self.status, self.code) in {
            (self.Status.WAITING, DELAYED),
            (self.Status.HELD, BRAKED),
        }

    @property
    def waits_to_retry(self) -> bool:
        """Whether an attempt came to nothing, and the next one is still to come."""
        return self.is_put_off and self.code != DELAYED and self.attempts > 0

    @property
    def is_put_off(self) -> bool:
        """Whether it waits for its time, which is still to come."""
        later = self.next_attempt_at is not None and self.next_attempt_at > timezone.now()
        return self.status == self.Status.WAITING and later

    @property
    def spec(self) -> ActionSpec:
        """What is known of the run's action."""
        return actions.ACTIONS[self.action]

    @property
    def form(self) -> Form:
        """In which form its rule ran: the rule may lead elsewhere by now."""
        return _form(self.rule_id, self)

    @staticmethod
    def form_of(rule: Rule) -> Form:
        """In which form the rule runs now."""
        return _form(rule.pk, rule)

    @staticmethod
    def copy_of(rule: Rule) -> dict[str, Any]:
        """What the rule does now, as the fields of a run."""
        destination = rule.destination
        return {
            "integration": rule.integration,
            "action": rule.action,
            "destination_id": destination.external_id if destination else None,
            "destination_name": destination.name if destination else rule.integration.name,
            "target": rule.target,
            "site": rule.integration.site,
            "rule_sentence": rule.sentence(),
            "ends_all": rule.ends_all,
        }
