"""Credentials: the secret addresses of SamCart accounts, the keys and tokens of integrations."""

from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from integrations import audit, rate_limit, secrets
from integrations.audit import Act
from integrations.models import CallBudget, Integration, Marketplace, WebhookSecret
from integrations.sentences import YEAR, Said, joined, on, say

# How long an address goes on working after it was replaced: SamCart is changed by hand.
OVERLAP = timedelta(days=7)
SHORTEST_SECRET = 24
# Thinkific's API keys have this many characters and do not end; its access tokens are longer.
KEY_LENGTH = 32
# How long before its end a token is warned of.
WARNING = timedelta(days=14)


def check_webhook_secret(secret: str) -> None:
    """Raises ValueError with a sentence for a secret too short, or unfit for an address."""
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(
            say("A webhook secret has at least {number} characters.", number=SHORTEST_SECRET)
        )
    if not all(char.isascii() and (char.isalnum() or char in "-_.~") for char in secret):
        raise ValueError(say("A webhook secret has letters, digits, and - _ . ~ only."))


def add_webhook_secret(marketplace: Marketplace, secret: str = "") -> str:
    """A new secret (made when none is given); the one before it works for seven more days.

    Older ones keep their earlier end. One that the account had before becomes its own again.
    Raises ValueError as check_webhook_secret does, and IntegrityError for a secret of another
    account.
    """
    secret = secret or secrets.fresh()
    check_webhook_secret(secret)
    digest = secrets.digest(secret)
    with transaction.atomic():
        known = WebhookSecret.objects.filter(marketplace=marketplace)
        known.filter(Q(expires_at=None) | Q(expires_at__gt=Now() + OVERLAP)).update(
            expires_at=Now() + OVERLAP
        )
        sealed = secrets.seal(secret)
        if not known.filter(digest=digest).update(expires_at=None, sealed=sealed):
            WebhookSecret.objects.create(marketplace=marketplace, digest=digest, sealed=sealed)
        audit.record(Act.ADDRESS_REPLACED, marketplace)
    return secret


def end_old_addresses(marketplace: Marketplace) -> int:
    """End the addresses that were replaced and still work; how many those were.

    What is sent there from now on is kept and held for a person. The current address stays.
    """
    with transaction.atomic():
        ended = marketplace.webhook_secrets.filter(expires_at__gt=Now()).update(expires_at=Now())
        if ended:
            audit.record(Act.ADDRESSES_ENDED, marketplace)
    return ended


def current_secret(marketplace: Marketplace) -> WebhookSecret | None:
    """The row that the address is made of: one without an end, else the one that ends last."""
    order = F("expires_at").desc(nulls_first=True)
    return marketplace.webhook_secrets.order_by(order, "-pk").first()


def webhook_secret(marketplace: Marketplace) -> str:
    """The account's secret, "" when it has none. Raises SecretUnreadable."""
    current = current_secret(marketplace)
    return secrets.reveal(current.sealed) if current else ""


def webhook_address(marketplace: Marketplace) -> str:
    """What SamCart must be given as Notify URL; "" without a secret. Raises SecretUnreadable."""
    secret = webhook_secret(marketplace)
    return settings.PUBLIC_URL + reverse("hook", args=[secret]) if secret else ""


def save(integration: Integration, secret: str = "") -> None:
    """Save the integration, with a new key or signing secret when one is given.

    A new one, or another site or address, ends a pause that the old one caused: what waits goes on
    at once.
    """
    with transaction.atomic():
        before = audit.stored(integration)
        stored = Integration.objects.filter(pk=integration.pk)
        moved = stored.exclude(site=integration.site, url=integration.url).exists()
        if secret:
            integration.set_secret(secret)
        elif moved:
            # What the old site still answers says nothing about this one.
            integration.secret_version += 1
        if secret or moved:
            integration.connection = Integration.Connection.UNKNOWN
            integration.connection_message = ""
        integration.save()
        CallBudget.objects.get_or_create(integration=integration)
        if secret or moved:
            rate_limit.start_over(integration.pk)
        act = Act.KEY_REPLACED if secret else Act.INTEGRATION_CHANGED
        audit.record_change(act if before else Act.INTEGRATION_ADDED, integration, before)


def expires(secret: str) -> bool:
    """Whether this is an access token, which ends some day, and not an API key."""
    return len(secret) > KEY_LENGTH


def expiry_warning(integration: Integration, today: date) -> str:
    """What to do about a token that ends soon or has ended; "" while nothing is to be done."""
    end = integration.secret_expires_on
    if end is None or end - WARNING > today:
        return ""
    advice = say(
        "Create a new one in Thinkific under Settings > Code & Analytics > API, and enter it "
        "with its date."
    )
    return joined([_end_of_token(integration, end, (end - today).days), advice])


def _end_of_token(integration: Integration, end: date, days_left: int) -> Said:
    if days_left < 0:
        day = on(end, YEAR)
        return say("The access token of {name} expired on {day}.", name=integration, day=day)
    if days_left == 0:
        return say("The access token of {name} expires today.", name=integration)
    if days_left == 1:
        return say("The access token of {name} expires tomorrow.", name=integration)
    return say(
        "The access token of {name} expires on {day}, in {number} days.",
        name=integration,
        day=on(end, YEAR),
        number=days_left,
    )
