"""Rule runs: one rule carried out for one event, with claim, lease and order."""

from typing import Any
from uuid import UUID, uuid4

from django.db import models
from django.db.models import Index, OuterRef, Q, Value
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
from rules.actions.endings import STILL_GIVEN
from rules.models import Rule

UNFINISHED = ("waiting", "running")
DELAYED = "delayed"  # the code of an ending that waits for its day; nothing is decided before
BRAKED = "braked"  # of one that a person must release, because there were too many at once
UNDECIDED = "undecided"  # of one that our own code failed to decide on when its day came
DISMISSED = "dismissed"  # of an action that a person has dismissed
_WAITING, _RUNNING = Q(status="waiting"), Q(status="running")
_DELAYED, _KEPT = Q(status="waiting", code=DELAYED), Q(status="done", code=STILL_GIVEN)
_BEGAN = Q(started_at__isnull=False)
# Without those that passed something on, which may be most actions of deleted rules.
_OF_DELETED = Q(rule=None, grant__isnull=False)

# (rule ID, integration ID, target): a rule and the course or bundle to which it leads.
Form = tuple[int | None, int | None, str]


def _form(rule: int | None, what: "Rule | RuleRun") -> Form:
    # A rule passes an event on once, even if its receiver has changed since.
    return rule, None if what.spec.passes_on else what.integration_id, what.target


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
        """All runs except endings that wait for their day, or whose day has just come."""
        return self.exclude(code=DELAYED)

    def delayed(self) -> "RuleRunQuerySet":
        """Endings that wait for their day."""
        return self.filter(_DELAYED)

    def of_a_later_day(self) -> "RuleRunQuerySet":
        """Endings whose day is still to come."""
        return self.delayed().filter(next_attempt_at__gt=Now())

    def pending(self) -> "RuleRunQuerySet":
        """Endings that wait for their day, or for a person who releases them."""
        return self.filter(_DELAYED | Q(status=RuleRun.Status.HELD, code=BRAKED))

    def dismissible(self) -> "RuleRunQuerySet":
        """Runs that a person may dismiss: failed, held, and endings that wait for their day."""
        return self.filter(_DELAYED | Q(status__in=[RuleRun.Status.FAILED, RuleRun.Status.HELD]))

    def with_customer(self) -> "RuleRunQuerySet":
        """Runs that have a customer, or need none."""
        return self.filter(Q(customer__isnull=False) | Q(action__in=actions.passing_on()))

    def without_email(self) -> "RuleRunQuerySet":
        """Failed runs whose event has no usable e-mail address, so that a retry cannot help."""
        # An expression keeps SQLite from walking through all failed runs: few lack a customer.
        failed = self.alias(state=Coalesce("status", Value(""))).filter(state=RuleRun.Status.FAILED)
        return failed.filter(self._without_a_needed_customer())

    @staticmethod
    def _without_a_needed_customer() -> Q:
        return Q(customer=None) & ~Q(action__in=actions.passing_on())

    def lost(self) -> "RuleRunQuerySet":
        """Runs that gave access that is still due, to an account deleted in Thinkific since."""
        done = self.filter(status=RuleRun.Status.DONE, action__in=actions.giving_access())
        its_grant = Grant.objects.active().lost().filter(pk=OuterRef("grant"))
        return done.filter(models.Exists(its_grant))

    def stranded(self) -> "RuleRunQuerySet":
        """The last giving run of each stranded grant."""
        giving = RuleRun.objects.filter(action__in=actions.giving_access())
        at = OuterRef("received_at")
        newer = Q(received_at__gt=at) | Q(received_at=at, pk__gt=OuterRef("pk"))
        later = giving.filter(newer, grant=OuterRef("grant"))
        last = self.filter(~models.Exists(later), action__in=actions.giving_access())
        return last.filter(grant__in=Grant.objects.stranded())

    def next_in_line(self) -> "RuleRunQuerySet":
        """Runs that no other run of the same customer and site blocks.

        No run is running beside them, and of the due runs they were received first. The order is
        for people who read the log: each run does what the ledger says is due, so any order ends
        the same. A run that passes on and has no customer is never blocked. An ending whose day
        has come blocks nothing until it is decided, because no worker takes it before.
        """
        beside, first = _before()
        for_nobody = Q(customer=None, action__in=actions.passing_on())
        return self.filter(~models.Exists(beside), for_nobody | Q(pk=models.Subquery(first)))

    def end(self, status: str, code: str, message: str) -> int:
        """End all of them with this status and reason. Return how many."""
        over = {"finished_at": Now(), "next_attempt_at": None}
        return self.update(status=status, code=code, message=message, **over)

    def behind_another(self) -> "RuleRunQuerySet":
        """Waiting runs that `next_in_line` leaves out. A run that was just claimed is not one."""
        beside, first = _before()
        waiting = self.filter(status=RuleRun.Status.WAITING)
        return waiting.filter(models.Exists(beside) | ~Q(pk=models.Subquery(first)))

    def held_by(self, token: "UUID | Combinable") -> "RuleRunQuerySet":
        """The running run whose lease `token` still holds."""
        return self.filter(status=RuleRun.Status.RUNNING, lease_token=token)


def _before() -> "tuple[RuleRunQuerySet, models.QuerySet[Any, Any]]":
    """Return, for a run of the outer query, what runs beside it and the first run of its line."""
    same = RuleRun.objects.filter(
        customer=OuterRef("customer"), integration=OuterRef("integration")
    )
    beside = same.filter(status=RuleRun.Status.RUNNING).exclude(pk=OuterRef("pk"))
    # We compare with the first run rather than look for an earlier one: the indexes of waiting runs
    # have this order, so a long line is not walked for each of its runs.
    # Literals, because SQLite does not match parameters with the condition of an index.
    unfinished = [RawSQL(f"'{status}'", ()) for status in UNFINISHED]  # noqa: S611 - our words
    waiting = same.filter(status__in=unfinished).filter(status=RuleRun.Status.WAITING)
    itself = Q(pk=OuterRef("pk"))
    before = waiting.filter(Q(next_attempt_at__lte=Now()) & ~Q(code=DELAYED) | itself)
    return beside, before.order_by("received_at", "id").values("pk")[:1]


class RuleRun(models.Model):
    """What is to be done, copied from the rule so that history survives edits and deletes.

    A waiting run goes on by itself, and a running one is under a lease. Done and skipped runs are
    over. Failed and held runs need a person.
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
    # The grant it changes; None while it is held, and for an action that changes no access.
    grant = models.ForeignKey(Grant, models.SET_NULL, null=True, related_name="runs")
    received_at = models.DateTimeField()

    action = models.CharField(_("action"), max_length=40, choices=actions.choices)
    # None for an action without a course or bundle; its name is then that of the integration.
    destination_id = models.BigIntegerField(_("number"), null=True)
    destination_name = models.CharField(_("course or bundle"), max_length=255)
    # "course:501", "bundle:7"; "" for an action that changes no access.
    target = models.CharField(max_length=40)
    site = models.CharField(max_length=253)
    rule_sentence = SentenceField()
    # By this ID a receiver recognizes a message. A retry by a person is a new message.
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
    # Its rule's delay when it was made, for when the rule is deleted. NULL spares SQLite a copy of
    # the table.
    delay_days = models.PositiveSmallIntegerField(null=True, editable=False)
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
            # A rule that has been changed to lead elsewhere may run once more.
            models.UniqueConstraint(
                fields=["event", "rule", "integration", "target"],
                name="run_once_per_event_and_rule",
            ),
        ]
        indexes = [
            Index(
                fields=["integration", "received_at", "id"], condition=_WAITING, name="run_waiting"
            ),
            Index(fields=["next_attempt_at"], condition=_WAITING, name="run_due"),
            Index(fields=["next_attempt_at"], condition=_DELAYED, name="run_delayed"),
            Index(fields=["integration", "lease_until"], condition=_RUNNING, name="run_running"),
            Index(
                fields=["customer", "integration", "received_at", "id"],
                condition=Q(status__in=UNFINISHED),
                name="run_order",
            ),
            Index(
                fields=["customer", "integration", "target", "received_at"], name="run_of_target"
            ),
            Index(fields=["status", "-received_at"], name="run_by_status"),
            Index(fields=["status", "code", "received_at"], condition=_KEPT, name="run_kept"),
            Index(fields=["-received_at", "-id"], name="run_newest"),
            Index(fields=["integration", "-received_at", "-id"], name="run_of_site"),
            Index(fields=["rule", "-received_at"], name="run_of_rule"),
            Index(fields=["rule", "-started_at"], condition=_BEGAN, name="run_began"),
            Index(
                fields=["rule", "-received_at", "-id"],
                condition=_OF_DELETED,
                name="run_of_deleted_rule",
            ),
        ]

    def __str__(self) -> str:
        return joined([self.spec.label, self.destination_name], by=": ")

    def skip(self, code: str, message: str) -> None:
        """End it as skipped, for this reason. The run is not saved."""
        self.status, self.code, self.message = self.Status.SKIPPED, code, message
        self.finished_at, self.next_attempt_at = timezone.now(), None

    @property
    def is_pending(self) -> bool:
        """Whether it is an undecided ending, which waits for its day or for a person."""
        return (self.status, self.code) in {("waiting", DELAYED), ("held", BRAKED)}

    @property
    def waits_to_retry(self) -> bool:
        """Whether an attempt failed and the next one is still to come."""
        return self.is_put_off and self.code != DELAYED and self.attempts > 0

    @property
    def is_put_off(self) -> bool:
        """Whether it waits for a time that is still to come."""
        later = self.next_attempt_at is not None and self.next_attempt_at > timezone.now()
        return self.status == self.Status.WAITING and later

    @property
    def spec(self) -> ActionSpec:
        """What is known of the run's action."""
        return actions.ACTIONS[self.action]

    @property
    def form(self) -> Form:
        """The rule, and where it led when this run was made; it may lead elsewhere now."""
        return _form(self.rule_id, self)

    @staticmethod
    def form_of(rule: Rule) -> Form:
        """Return the rule, and where it leads now."""
        return _form(rule.pk, rule)

    @staticmethod
    def copy_of(rule: Rule) -> dict[str, Any]:
        """Return what the rule does now, as fields of a run."""
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
            "delay_days": rule.delay_days or None,
        }
