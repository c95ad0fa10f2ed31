"""The ledger: who holds which course, through what, and who held it."""

from datetime import datetime
from textwrap import shorten

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models.event_log import EventLog
from integrations.models import Customer, Integration, Marketplace, Product, ThinkificUser
from integrations.sentences import say
from integrations.targets import course_target

OVER = ("ended", "waived")
LONGEST_NAME, LONGEST_NOTE = 150, 200


def _word(state: str) -> RawSQL:
    """Return the state as an SQL literal.

    SQLite does not match a parameter with the condition of a partial index.
    """
    return RawSQL(f"'{state}'", ())  # noqa: S611 - our words


class GrantQuerySet(models.QuerySet["Grant"]):
    def active(self) -> "GrantQuerySet":
        """Grants that give access now."""
        return self.filter(state=Grant.State.ACTIVE)

    def customers(self, most: int) -> int:
        """Return how many students have these grants, counting up to `most`."""
        return self.order_by().values("customer").distinct()[:most].count()

    def owed(self) -> "GrantQuerySet":
        """Active grants that were not seen in Thinkific yet."""
        return self.filter(state=_word(Grant.State.ACTIVE), seen_at=None)

    def over(self) -> "GrantQuerySet":
        """Grants that no longer give access."""
        return self.filter(state__in=[_word(state) for state in OVER])

    def stranded(self) -> "GrantQuerySet":
        """Owed grants that no action is going to give: a person must see to them."""
        return self.owed().exclude(runs__status__in=["waiting", "running", "failed", "held"])

    def lost(self) -> "GrantQuerySet":
        """Grants whose access is gone, because the Thinkific account was deleted since."""
        return self.filter(_replaced_since())

    def seen(self) -> "GrantQuerySet":
        """Active grants that were seen in Thinkific on the student's present account."""
        return self.active().filter(~_replaced_since(), seen_at__isnull=False)


def _replaced_since() -> models.Exists:
    """Whether the student got another Thinkific account after the grant was last seen there."""
    same = {name: models.OuterRef(name) for name in ("customer", "integration")}
    return models.Exists(ThinkificUser.objects.filter(**same, since__gt=models.OuterRef("seen_at")))


class Grant(models.Model):
    """A student's access to one course or bundle, given by one source.

    The last decision by receipt time says whether it is active. It copies what its sentence needs,
    so that it outlives its event.
    """

    class Source(models.TextChoices):
        PURCHASE = "purchase", _("Purchase")
        HAND = "hand", _("By hand")
        BEFORE = "before", _("From before Admit")

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        # An ended grant that was never opened is a mark: its ending came before its purchase.
        ENDED = "ended", _("Ended")
        WAIVED = "waived", _("Waived")

    source = models.CharField(max_length=8, choices=Source.choices, default=Source.PURCHASE)
    # The purchase; "" if the sale names no order or no subscription.
    marketplace = models.ForeignKey(
        Marketplace, models.SET_NULL, null=True, related_name="grants", db_index=False
    )
    product = models.ForeignKey(
        Product, models.SET_NULL, null=True, related_name="grants", db_index=False
    )
    order_id = models.CharField(max_length=64, blank=True)
    subscription_id = models.CharField(max_length=64, blank=True)
    product_name = models.CharField(max_length=255, blank=True)

    customer = models.ForeignKey(
        Customer, models.CASCADE, related_name="grants", db_index=False, verbose_name=_("student")
    )
    integration = models.ForeignKey(
        Integration, models.CASCADE, related_name="grants", db_index=False
    )
    target = models.CharField(max_length=40)  # "course:501", "bundle:7"
    name = models.CharField(_("course or bundle"), max_length=255)
    course_ids = models.JSONField(default=list, blank=True)  # of a bundle, as far as known

    state = models.CharField(max_length=6, choices=State.choices)
    # When the event that decided last was received. Events received earlier change nothing.
    decided_at = models.DateTimeField()
    # What gave it the state: a trigger, or "by_hand" or another code of `events.access.ledger`; and
    # the event.
    because = models.CharField(max_length=40)
    event = models.ForeignKey(EventLog, models.SET_NULL, null=True, related_name="grants")
    opened_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # When access from before Admit ends by itself.
    until = models.DateTimeField(null=True)
    # When Thinkific was last seen to hold it.
    seen_at = models.DateTimeField(null=True)
    # When a person said that the buyer keeps it, though it was refunded or no rule gives it any
    # more, who that was, and why. Events received earlier do not end it.
    kept_at = models.DateTimeField(null=True)
    kept_by = models.CharField(max_length=LONGEST_NAME, blank=True, default="", db_default="")
    kept_note = models.CharField(max_length=LONGEST_NOTE, blank=True, default="", db_default="")

    objects = GrantQuerySet.as_manager()

    class Meta:
        permissions = [("by_hand_grant", "Can give, end and move access by hand")]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "marketplace",
                    "order_id",
                    "subscription_id",
                    "product",
                    "integration",
                    "target",
                ],
                condition=Q(source="purchase") & ~Q(order_id="", subscription_id=""),
                name="grant_once",
            ),
            # The constraint above does not catch rows without a product: NULLs count as different.
            models.UniqueConstraint(
                fields=["marketplace", "order_id", "subscription_id", "integration", "target"],
                condition=Q(source="purchase", product=None) & ~Q(order_id="", subscription_id=""),
                name="grant_once_no_product",
            ),
            models.UniqueConstraint(
                fields=["customer", "integration", "target"],
                condition=Q(source="before"),
                name="grant_before_admit_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["subscription_id"],
                condition=~Q(subscription_id=""),
                name="grant_of_subscription",
            ),
            models.Index(fields=["order_id"], name="grant_of_order"),
            models.Index(fields=["customer", "integration"], name="grant_of_student"),
            models.Index(fields=["integration", "target"], name="grant_of_target"),
            # Finds what buyers of a product still have after its rules have changed.
            models.Index(
                fields=["integration", "target", "product"],
                condition=Q(state="active", source="purchase", kept_at=None),
                name="grant_of_buyer",
            ),
            models.Index(
                fields=["decided_at"],
                condition=Q(state="active", seen_at=None),
                name="grant_owed",
            ),
            models.Index(
                fields=["decided_at", "id"],
                condition=Q(state__in=OVER),
                name="grant_over",
            ),
        ]

    def __str__(self) -> str:
        return say("{name} for {student}", name=self.name, student=self.customer)

    @property
    def is_active(self) -> bool:
        return self.state == self.State.ACTIVE

    @staticmethod
    def as_noted(who: str, why: str) -> tuple[str, str]:
        """Return `kept_by` and `kept_note`, no longer than these columns."""
        return who[:LONGEST_NAME], shorten(why, LONGEST_NOTE, placeholder="…")

    def is_kept_after(self, moment: datetime) -> bool:
        """Whether a person let the buyer keep it at this moment or later."""
        return self.kept_at is not None and self.kept_at >= moment

    def is_opened_after(self, moment: datetime) -> bool:
        """Whether it was opened, or opened again, later than at this moment."""
        return self.opened_at is not None and self.opened_at > moment

    @property
    def is_given_back(self) -> bool:
        """Whether a person let the buyer keep it by giving it back after it had been ended."""
        return self.kept_at is not None and self.kept_at == self.opened_at

    @property
    def parts(self) -> frozenset[str]:
        """Its target and, for a bundle, the courses in it as far as they are known."""
        return frozenset([self.target, *(course_target(number) for number in self.course_ids)])


class History(models.Model):
    """How far the events from before the ledger have been read.

    One row, only in an installation that is older than the ledger.
    """

    ONLY = 1

    # How many events there were when the ledger began, and how many of them have been read.
    events = models.PositiveBigIntegerField()
    read = models.PositiveBigIntegerField(default=0)
    # The last event that was read.
    reached_at = models.DateTimeField(null=True)
    reached_id = models.BigIntegerField(default=0)
    # How many actions could not be assigned to a purchase.
    unclear = models.PositiveBigIntegerField(default=0)
    began_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = _("history")
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="history_only_one")]

    def __str__(self) -> str:
        return f"{self.read:,} of {self.events:,} events"
