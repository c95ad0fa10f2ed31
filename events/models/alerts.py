"""Alerts: what was or is wrong, who wants to be told, and the messages to them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.sentences import SentenceField, SentencesField, say


class AlertRound(models.Model):
    """The one row that says when to look for problems again."""

    ONLY = 1

    next_at = models.DateTimeField(db_default=Now())
    # The day of the last digest, in the time zone of the installation.
    digest_on = models.DateField(null=True)
    # {account ID: time of its last sale}: the owner said that the silence since then is normal.
    right_silences = models.JSONField(default=dict)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="alert_round_only_one")]

    def __str__(self) -> str:
        return f"Looks for problems, next at {self.next_at}"


class Alert(models.Model):
    """One problem from its beginning to its end; `code` and `subject` are the problem's.

    It is announced when it has lasted long enough for its kind. It is over when it has not been
    seen for a while, so a problem that comes and goes is one alert.
    """

    code = models.CharField(max_length=20)
    subject = models.CharField(max_length=200, blank=True)
    stage = models.PositiveSmallIntegerField(default=0)
    buyers = models.PositiveIntegerField(default=0)
    facts = SentencesField(default=dict)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    announced_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["code", "subject"], condition=Q(ended_at=None), name="alert_open_once"
            )
        ]
        indexes = [models.Index(fields=["-began_at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.code} since {self.began_at}"


class AlertChannel(models.Model):
    """How one person is told of problems. The address is sealed: a webhook's may hold a token.

    `codes` are the codes of the problems to tell of; an empty list means all.
    """

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        SLACK = "slack", "Slack"
        JSON = "json", _("Webhook (JSON)")

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="alert_channels"
    )
    kind = models.CharField(max_length=5, choices=Kind.choices)
    # "" for e-mail, which goes to the person's own address.
    sealed_address = models.TextField(blank=True)
    sealed_secret = models.TextField(blank=True)
    codes = models.JSONField(default=list, blank=True)
    digest = models.BooleanField(
        _("a digest in the morning while something is wrong"), default=True
    )
    # None: the person has not chosen. Then owners are told, and others are not.
    enabled = models.BooleanField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=Q(kind="email"), name="alert_email_once"
            )
        ]

    def __str__(self) -> str:
        return say("{kind} to {person}", kind=self.get_kind_display(), person=self.person)

    @property
    def may_send(self) -> bool:
        """Whether anything may be sent: neither the channel nor the person is turned off."""
        return self.is_enabled and self.person.is_active

    @property
    def is_enabled(self) -> bool:
        """Whether the channel is on: what the person chose, or else True for an owner."""
        return self.person.is_superuser if self.enabled is None else self.enabled

    def wants(self, code: str) -> bool:
        return self.is_enabled and (not self.codes or code in self.codes)


class AlertMessage(models.Model):
    """One message to one channel, sent at least once; a failed attempt is repeated."""

    class What(models.TextChoices):
        BEGAN = "began", _("It began")
        OVER = "over", _("It is over")
        DIGEST = "digest", _("Digest")
        TEST = "test", _("Test")

    channel = models.ForeignKey(AlertChannel, models.CASCADE, related_name="messages")
    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="messages")
    what = models.CharField(max_length=6, choices=What.choices)
    subject = SentenceField()
    text = SentenceField()
    uuid = models.UUIDField(unique=True)
    created_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    # None: it was sent, or given up.
    next_attempt_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    # Why the last attempt failed: a code, and a sentence for the page.
    code = models.CharField(max_length=30, blank=True)
    problem = SentenceField(blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="alert_message_due",
            ),
            models.Index(fields=["-created_at"], name="alert_message_newest"),
        ]

    def __str__(self) -> str:
        return self.subject
