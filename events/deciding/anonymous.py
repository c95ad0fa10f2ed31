"""What remains of a sale when the person's data was erased."""

from dataclasses import replace

from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.access.erasures import SaleIds
from events.models import Delivery
from integrations.redaction import ERASED
from integrations.samcart.custom_fields import CustomField
from integrations.samcart.normalize import normalize_email
from integrations.samcart.parser import SaleEvent
from integrations.sentences import say

NOTHING_DONE = _(
    "It belongs to a sale of a person whose data was erased, so nothing was done. If something is "
    "to be done, do it in Thinkific."
)


def addresses(sale: SaleEvent) -> set[str]:
    """Return each address in the sale as it is compared: the payer's and those in custom fields."""
    payer = sale.email or sale.email_as_sent.strip().lower()
    return {payer, *(_address(field) for field in sale.custom_fields)} - {""}


def sale_ids(sale: SaleEvent, delivery: Delivery) -> SaleIds:
    """Return what identifies the sale."""
    return SaleIds(
        delivery.marketplace_id,
        sale.order_id,
        sale.subscription_id,
        sale.transaction_id,
        delivery.body_digest,
    )


def remove_addresses(sale: SaleEvent, gone: set[str]) -> SaleEvent:
    """Return the sale without these addresses. A payer's names, ID and answers go, too."""
    fields = [_without(field, gone) for field in sale.custom_fields]
    payer = sale.email or sale.email_as_sent.strip().lower()
    if payer not in gone:
        return replace(sale, custom_fields=tuple(fields))
    return replace(
        sale,
        email="",
        email_as_sent="",
        email_problem=say(NOTHING_DONE),
        first_name="",
        last_name="",
        customer_id="",
        # Keep fields with an address, even an erased one: they say whose access the sale is about.
        custom_fields=tuple(field for field in fields if _address(field) or field.value == ERASED),
    )


def remove_payload(delivery: Delivery) -> None:
    """Remove what was sent. Call it inside a transaction."""
    Delivery.objects.filter(pk=delivery.pk).update(
        sealed_body=b"", query="", body_digest="", body_removed_at=Now()
    )


def _address(field: CustomField) -> str:
    return normalize_email(field.value) if "@" in field.value else ""


def _without(field: CustomField, gone: set[str]) -> CustomField:
    return replace(field, value=ERASED) if _address(field) in gone else field
