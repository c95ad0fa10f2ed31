"""What a rule acts on: a Thinkific site with its key, or a URL that is notified."""

from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations import secrets
from integrations.sentences import SentenceField


class Integration(models.Model):
    """What a rule acts on: a Thinkific site with its key, or a URL that is notified.

    `integrations.app_registry` has what differs between the apps.
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
    # Where a Notify URL's messages are posted, whole.
    url = models.CharField(_("URL"), max_length=500, blank=True)
    # An API key or access token, or what a Notify URL's messages are signed with.
    sealed_secret = models.TextField(editable=False)
    # Shown as "ends in …3f9a", so that a person can tell which key is stored.
    secret_ending = models.CharField(max_length=4, editable=False, default="")
    # Goes up with each new secret: an answer got with an older one pauses nothing.
    secret_version = models.PositiveIntegerField(default=1, editable=False)
    send_welcome_email = models.BooleanField(
        _("Send Thinkific's site welcome e-mail"), default=False
    )
    # The SamCart custom field with the student's e-mail address, where the payer is another person.
    student_field = models.CharField(
        _("Custom field with the student's e-mail"), max_length=255, blank=True
    )
    enabled = models.BooleanField(pgettext_lazy("switch", "On"), default=True)
    # Access tokens end; API keys do not.
    secret_expires_on = models.DateField(_("Token expires on"), null=True, blank=True)
    # Ticked by a person: Thinkific's API does not tell.
    welcome_emails_on = models.BooleanField(_("Welcome Emails are on in Thinkific"), default=False)
    # Ticked by a person: customers may cancel inside Thinkific, so courses need not be Private.
    private_not_wanted = models.BooleanField(_("Courses need not be Private"), default=False)
    connection = models.CharField(
        max_length=12, choices=Connection.choices, default=Connection.UNKNOWN, editable=False
    )
    connection_message = SentenceField(blank=True, editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # What the audit compares. An address to post to may hold a secret of its receiver.
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
        """Whether nothing was ever read from the site, so that it may be another one as well."""
        connected = self.connection == self.Connection.CONNECTED
        return not (connected or self.refreshed_at or self.thinkific_users.exists())

    def last_status(self) -> int | None:
        """The HTTP status of the site's last answer, None when there is none."""
        return self.api_calls.order_by("-pk").values_list("status", flat=True).first()

    def refused_at_first(self) -> bool:
        """Whether the site has refused every connect so far."""
        return self.connection == self.Connection.REFUSED and self.never_connected()

    @cached_property
    def not_let_in(self) -> bool:
        """Whether it has refused them in such a way that its address may be wrong as well.

        Looked up once: a page asks it in several places.
        """
        return self.refused_at_first() and self.last_status() == 401

    def set_secret(self, secret: str) -> None:
        """Seal the secret into the row (not saved) and count it as a new one."""
        self.sealed_secret = secrets.seal(secret)
        self.secret_ending = secret[-4:] if len(secret) >= 12 else ""
        self.secret_version += 1

    def secret(self) -> str:
        """The API key or token. Raises SecretUnreadable."""
        return secrets.reveal(self.sealed_secret)

    def with_same_secret(self) -> "models.QuerySet[Integration]":
        """The stored row, if it still has the secret that this one, read before, has."""
        return Integration.objects.filter(pk=self.pk, secret_version=self.secret_version)
