"""Integrations: a Thinkific site with its key, or a Notify URL with its signing secret."""

from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations import secrets
from integrations.sentences import SentenceField


class Integration(models.Model):
    """What a rule acts on: a Thinkific site with its key, or a Notify URL.

    `integrations.app_registry` knows how the apps differ.
    """

    class App(models.TextChoices):
        THINKIFIC = "thinkific", "Thinkific"
        NOTIFY_URL = "notify_url", "Notify URL"

    class Connection(models.TextChoices):
        UNKNOWN = "unknown", _("Not checked yet")
        CONNECTED = "connected", _("Connected")
        REFUSED = "refused", _("Key rejected")
        UNREACHABLE = "unreachable", _("Cannot connect")

    name = models.CharField(_("name"), max_length=100, unique=True)
    app = models.CharField(_("app"), max_length=20, choices=App.choices, default=App.THINKIFIC)
    # The subdomain of a Thinkific site; the host of a Notify URL.
    site = models.CharField(_("Site URL"), max_length=253)
    # The whole address to which a Notify URL's messages are posted.
    url = models.CharField(_("URL"), max_length=500, blank=True)
    # An API key or access token, or the signing secret of a Notify URL.
    sealed_secret = models.TextField(editable=False)
    # Shown as "ends in …3f9a", so that a person can tell which key is stored.
    secret_ending = models.CharField(max_length=4, editable=False, default="")
    # Goes up with each new secret, so that an answer to an older secret pauses nothing.
    secret_version = models.PositiveIntegerField(default=1, editable=False)
    send_welcome_email = models.BooleanField(
        _("Send Thinkific's site welcome e-mail"), default=False
    )
    # The SamCart custom field with the student's e-mail address, if the payer is somebody else.
    student_field = models.CharField(
        _("Custom field with the student's e-mail"), max_length=255, blank=True
    )
    enabled = models.BooleanField(pgettext_lazy("switch", "On"), default=True)
    # Access tokens expire; API keys do not.
    secret_expires_on = models.DateField(_("Token expires on"), null=True, blank=True)
    # Ticked by a person, because Thinkific's API does not tell.
    welcome_emails_on = models.BooleanField(_("Welcome Emails are on in Thinkific"), default=False)
    # Ticked by a person: customers may cancel inside Thinkific, so courses need not be Private.
    private_not_wanted = models.BooleanField(_("Courses need not be Private"), default=False)
    connection = models.CharField(
        max_length=12, choices=Connection.choices, default=Connection.UNKNOWN, editable=False
    )
    connection_message = SentenceField(blank=True, editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # What the audit compares. The `url` is kept secret, as it may contain a secret of the receiver.
    audited = (
        "name",
        "app",
        "site",
        "secret_expires_on",
        "welcome_emails_on",
        "private_not_wanted",
        "send_welcome_email",
        "student_field",
        "enabled",
    )
    audited_secrets = ("sealed_secret", "url")

    class Meta:
        verbose_name = _("integration")
        verbose_name_plural = _("integrations")
        constraints = [
            models.UniqueConstraint(
                fields=["app", "site"],
                condition=models.Q(app="thinkific"),
                name="site_once",
                violation_error_message=_("This Thinkific site is connected already."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def never_connected(self) -> bool:
        """Return whether nothing was ever read from the site, so its address may still be wrong."""
        connected = self.connection == self.Connection.CONNECTED
        return not (connected or self.refreshed_at or self._has_students)

    @cached_property
    def _has_students(self) -> bool:
        """Whether any student was ever seen. Cached, because a page asks in several places."""
        return self.pk is not None and self.thinkific_users.exists()

    def last_status(self) -> int | None:
        """Return the HTTP status of the last call, or None if there was no call or no answer."""
        return self.api_calls.order_by("-pk").values_list("status", flat=True).first()

    def refused_at_first(self) -> bool:
        """Return whether the site refused our key and has never let us in."""
        return self.connection == self.Connection.REFUSED and self.never_connected()

    @cached_property
    def _refusal(self) -> int | None:
        """The status (401 or 403) by which a Thinkific site refuses us, or None.

        Cached, because a page asks for it in several places.
        """
        refused = self.connection == self.Connection.REFUSED and self.app == self.App.THINKIFIC
        if not refused or self.pk is None:
            return None
        refusals = self.api_calls.filter(status__in=(401, 403)).order_by("-pk")
        return refusals.values_list("status", flat=True).first()

    @property
    def not_let_in(self) -> bool:
        """Whether the site refused us in a way (401) that can also mean a wrong address."""
        return self.refused_at_first() and self._refusal == 401

    @property
    def denied(self) -> bool:
        """Whether the site knows the key but denies it the API (403): its plan or a permission."""
        return self._refusal == 403

    def set_secret(self, secret: str) -> None:
        """Seal the secret into the row, without saving, and count up `secret_version`."""
        self.sealed_secret = secrets.seal(secret)
        self.secret_ending = secret[-4:] if len(secret) >= 12 else ""
        self.secret_version += 1

    def secret(self) -> str:
        """Return the API key, token or signing secret. Raises SecretUnreadable."""
        return secrets.reveal(self.sealed_secret)

    def with_same_secret(self) -> "models.QuerySet[Integration]":
        """Return the stored row as a query, empty if its secret changed since this one was read."""
        return Integration.objects.filter(pk=self.pk, secret_version=self.secret_version)
