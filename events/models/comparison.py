"""A comparison of the ledger with what Thinkific shows: how far it is, and what it found."""

from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from events.models.access import Grant
from integrations.models import Customer, Integration
from integrations.sentences import SentenceField, SentencesField, say


class ComparisonQuerySet(models.QuerySet["ComparisonRun"]):
    def due(self) -> "ComparisonQuerySet":
        """Comparisons that may be continued now."""
        return self.filter(finished_at=None, next_at__lte=Now())

    def held_by(self, pk: int, token: UUID | None) -> "ComparisonQuerySet":
        """This comparison if `token` still holds its lease; otherwise nothing."""
        return self.filter(pk=pk, finished_at=None, token=token)


class ComparisonRun(models.Model):
    """A comparison of one site. What it needs to go on after a crash is in its row.

    It lists what the ledger gives, reads the enrollments of each course, and then asks for each
    student who was not seen with access.
    """

    class Phase(models.TextChoices):
        LISTING = "listing", _("Listing")
        READING = "reading", _("Reading")
        ASKING = "asking", _("Asking")
        DONE = "done", pgettext_lazy("comparison", "Done")

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="comparisons")
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)
    phase = models.CharField(max_length=7, choices=Phase.choices, default=Phase.LISTING)

    # [number, name] of each course to read.
    courses = models.JSONField(default=list)
    # The ID of the last grant that was listed; the index in `courses` of the course that is read,
    # and its next page.
    last_grant = models.BigIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)
    page = models.PositiveIntegerField(default=1)
    # To recognize a page that Thinkific sends twice.
    page_digest = models.CharField(max_length=64, blank=True)
    enrollments = models.PositiveIntegerField(_("enrollments read"), default=0)
    # [course, why] for each course that could not be compared.
    left_out = SentencesField(default=list)

    # Why it waits or has stopped, for a person.
    message = SentenceField(blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    # When it goes on, or when the lease of the process that does it ends; None: it has stopped.
    next_at = models.DateTimeField(null=True)
    token = models.UUIDField(null=True, editable=False)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration"],
                condition=Q(finished_at=None),
                name="one_comparison_of_a_site",
            ),
        ]

    def __str__(self) -> str:
        return say("Comparison of {site}", site=self.integration)

    @property
    def has_stopped(self) -> bool:
        """Whether it needs a person to go on."""
        return self.finished_at is None and self.next_at is None

    @property
    def course(self) -> tuple[int, str]:
        """The number and name of the course that is read now."""
        number, name = self.courses[self.position]
        return int(number), str(name)


class ComparisonFinding(models.Model):
    """One student and course where the ledger and Thinkific differ."""

    class Kind(models.TextChoices):
        # Not seen in Thinkific yet: nothing is known before its course has been read.
        UNSEEN = "unseen", _("Not seen yet")
        MISSING = "missing", _("Paid without access")
        UNEXPLAINED = "unexplained", _("Access that no purchase explains")
        ENDS = "ends", _("End dates differ")
        BEFORE = "before", _("From before Admit")

    class Shows(models.TextChoices):
        """What Thinkific shows."""

        NOTHING = "", ""
        NO_ACCOUNT = "no_account", _("No account with this e-mail")
        NOT_ENROLLED = "not_enrolled", _("Not enrolled")
        ENDED = "ended", _("Access ended")
        PREVIEW = "preview", _("Free preview only")
        UNTIL = "until", _("Access with an end")
        FULL = "full", _("Full access")

    comparison = models.ForeignKey(
        ComparisonRun, models.CASCADE, related_name="findings", db_index=False
    )
    kind = models.CharField(max_length=11, choices=Kind.choices)
    course_id = models.BigIntegerField()
    name = models.CharField(_("course"), max_length=255)
    customer = models.ForeignKey(Customer, models.CASCADE, null=True, related_name="+")
    # The grant that gives it, or the last one that gave it. Without a database constraint, because
    # grants are removed without looking for findings.
    grant = models.ForeignKey(
        Grant, models.SET_NULL, null=True, related_name="+", db_constraint=False
    )
    # The student as Thinkific names them, if it does.
    user_id = models.BigIntegerField(_("Thinkific user ID"), null=True)
    email = models.CharField(max_length=320, blank=True)
    shows = models.CharField(max_length=12, choices=Shows.choices, blank=True)
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    found_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            # Thinkific may send a page twice.
            models.UniqueConstraint(
                fields=["comparison", "course_id", "user_id"],
                condition=Q(kind__in=["unexplained", "before"]),
                name="finding_once",
            ),
        ]
        indexes = [
            models.Index(fields=["comparison", "kind", "id"], name="finding_of_kind"),
            models.Index(fields=["comparison", "course_id", "customer"], name="finding_of_student"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"

    @property
    def student(self) -> str:
        """The e-mail of the student as people read it."""
        return self.customer.readable_email if self.customer else self.email
