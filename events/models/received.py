"""What SamCart sent: the raw delivery, kept before anything looks into it."""

import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from integrations import sealed
from integrations.models import Marketplace, WebhookSecret


class ReceiptTime(Now):
    """The database's clock in the form in which Django stores times.

    SQLite compares times as text, and its own default has three decimals where Django writes six,
    so a delivery could seem to have come before itself.
    """

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        template = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'NOW')"
        return self.as_sql(compiler, connection, template=template, **extra_context)


class Delivery(models.Model):
    """One POST, as raw bytes. It is kept before anything looks into it."""

    class State(models.TextChoices):
        NEW = "new", _("Not read yet")
        READ = "read", pgettext_lazy("delivery", "Read")

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    marketplace = models.ForeignKey(Marketplace, models.CASCADE, related_name="deliveries")
    secret = models.ForeignKey(WebhookSecret, models.SET_NULL, null=True)
    # The address had been withdrawn when the delivery came: its runs wait for a person.
    withdrawn = models.BooleanField(default=False)
    address_trigger = models.CharField(max_length=100, blank=True)
    query = models.CharField(max_length=2000, blank=True)
    content_type = models.CharField(max_length=255, blank=True)
    content_encoding = models.CharField(max_length=100, blank=True)
    # What SamCart sent, sealed: read `body`.
    sealed_body = models.BinaryField(db_column="body")
    body_digest = models.CharField(max_length=64)
    state = models.CharField(max_length=4, choices=State.choices, default=State.NEW)
    repeat_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="repeats", db_index=False
    )
    received_at = models.DateTimeField(db_default=ReceiptTime())
    # When body and query were removed because they were too old; the digest stays.
    body_removed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(
                fields=["received_at", "id"],
                condition=Q(state="new"),
                name="delivery_to_read",
            ),
            models.Index(fields=["body_digest", "received_at"], name="delivery_repeats"),
            models.Index(fields=["-received_at"], name="delivery_newest"),
            models.Index(
                fields=["repeat_of"],
                condition=Q(repeat_of__isnull=False),  # true for few deliveries
                name="delivery_repeat_of",
            ),
            # A delivery enters this index when it is read, so that receiving costs no more.
            models.Index(
                fields=["received_at", "id"],
                condition=Q(state="read", body_removed_at=None),
                name="delivery_with_body",
            ),
        ]

    def __str__(self) -> str:
        return f"Delivery {self.pk}"

    @property
    def body(self) -> bytes:
        """What SamCart sent, byte for byte; b"" once it is removed. Raises SecretUnreadable."""
        return sealed.reveal(bytes(self.sealed_body))
