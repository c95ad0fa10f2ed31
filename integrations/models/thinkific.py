"""The teaching side: Thinkific sites, what they offer, and what we know of their users."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations import secrets
from integrations.models.samcart import Customer
from integrations.samcart.custom_fields import answers
from integrations.sentences import SentenceField, say


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


class Destination(models.Model):
    """A course or bundle of a site; it is never deleted by what Thinkific says.

    Thinkific does not list all that it has: courses of its new course builder are left out. So
    one that is not listed can still be sold. Only Thinkific's answer to an enrollment in it
    makes it gone.
    """

    class Kind(models.TextChoices):
        COURSE = "course", _("Course")
        BUNDLE = "bundle", _("Bundle")

    integration = models.ForeignKey(
        Integration, models.CASCADE, related_name="destinations", verbose_name=_("integration")
    )
    kind = models.CharField(_("kind"), max_length=6, choices=Kind.choices)
    # Thinkific's `productable_id`, never the product's own id.
    external_id = models.BigIntegerField(_("Thinkific ID"))
    name = models.CharField(max_length=255)
    published = models.BooleanField(default=True)
    private = models.BooleanField(null=True)
    # Of a bundle: the ids of its courses, as far as Thinkific named them.
    course_ids = models.JSONField(default=list, blank=True)
    # Entered by a person by its number, and not listed since.
    by_hand = models.BooleanField(default=False)
    # When it had left Thinkific's list, and when Thinkific said that there is no such thing.
    unlisted_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("course or bundle")
        verbose_name_plural = _("courses and bundles")
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "kind", "external_id"], name="destination_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def listed(self) -> bool:
        """Whether the last refresh found it in Thinkific's list."""
        return not self.by_hand and self.unlisted_at is None

    @property
    def standing(self) -> str:
        """What is special about it, as it follows its name; "" when Thinkific lists it."""
        if self.gone_at is not None:
            return say("gone from Thinkific")
        if self.by_hand:
            return say("entered by hand")
        return "" if self.listed else say("not listed by Thinkific")


class ProfileField(models.Model):
    """A custom signup field of a site; one that has gone is marked, not deleted."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="profile_fields")
    external_id = models.BigIntegerField(_("Thinkific ID"))
    label = models.CharField(max_length=255)
    # The raw value: Thinkific does not publish which there are.
    field_type = models.CharField(max_length=100)
    required = models.BooleanField(default=False)
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("signup field")
        verbose_name_plural = _("signup fields")
        constraints = [
            models.UniqueConstraint(fields=["integration", "external_id"], name="field_once"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def mappable(self) -> bool:
        """Only fields of type Text take a SamCart value (SamCart's help page)."""
        kinds = {kind.casefold() for kind in settings.THINKIFIC_TEXT_FIELD_TYPES}
        return self.gone_at is None and self.field_type.casefold() in kinds


class FieldMappingQuerySet(models.QuerySet["FieldMapping"]):
    def values_for(
        self, integration: Integration, custom_fields: list[dict[str, str]]
    ) -> dict[ProfileField, str]:
        """What the custom fields of an order fill; empty values are left out."""
        told = answers(custom_fields)
        mappings = self.filter(integration=integration).select_related("profile_field")
        found = {
            mapping.profile_field: told.get(mapping.samcart_field.casefold(), "")
            for mapping in (mappings if told else ())
            if mapping.profile_field.mappable
        }
        return {field: value for field, value in found.items() if value}


class FieldMapping(models.Model):
    """A SamCart custom field, by name or slug, fills a signup field."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="field_mappings")
    samcart_field = models.CharField(_("SamCart custom field"), max_length=255)
    profile_field = models.ForeignKey(
        ProfileField, models.CASCADE, verbose_name=_("Thinkific signup field")
    )

    objects = FieldMappingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "profile_field"], name="profile_field_filled_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.samcart_field} → {self.profile_field}"


class ThinkificUser(models.Model):
    """A customer on a site: the Thinkific user, remembered so that no call is spent on it."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="thinkific_users")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="thinkific_users")
    user_id = models.BigIntegerField(_("Thinkific user ID"))
    administrator = models.BooleanField(default=False)
    # {signup field id: value} as Thinkific holds it, as far as we know: only changes are sent.
    fields_known = models.JSONField(default=dict, blank=True)
    # When this account took the place of one that was deleted: what that held went with it.
    since = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["integration", "customer"], name="thinkific_user_once"),
        ]
        # Two customers may be one user.
        indexes = [
            models.Index(fields=["integration", "user_id"], name="thinkific_user_of_site"),
            models.Index(
                fields=["customer"],
                condition=models.Q(since__isnull=False),  # which few are
                name="thinkific_user_replaced",
            ),
        ]
        permissions = [("check_thinkificuser", "Can look a student up in Thinkific")]

    def __str__(self) -> str:
        return f"{self.customer} on {self.integration}"


class Intent(models.Model):
    """A POST that was about to be sent and has no definite answer yet.

    While the row exists it is unknown whether Thinkific carried it out, so the next attempt reads
    before it writes.
    """

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="intents")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="intents")
    target = models.CharField(max_length=40)  # "user", "course:501", "bundle:7"
    # Thinkific said 202: it will do it later, so "not there yet" is no answer.
    accepted = models.BooleanField(default=False)
    sent_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "customer", "target"], name="intent_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} for {self.customer}"
