"""Credentials: secret webhook addresses of SamCart accounts, keys and tokens of integrations."""

from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from integrations import audit, secrets
from integrations.audit import Act
from integrations.audit_values import Values
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration, Marketplace, WebhookSecret
from integrations.sentences import YEAR, Said, format_day, joined, say

# How long a replaced address keeps working: a person has to enter the new one in SamCart.
OVERLAP = timedelta(days=7)
SHORTEST_SECRET = 24
# Thinkific's API keys have this many characters and never expire; its access tokens are longer.
KEY_LENGTH = 32
# How long before a token expires people are warned.
WARNING = timedelta(days=14)
# The fields of an integration that no form writes.
_NOT_ENTERED = [field.attname for field in Integration._meta.concrete_fields if not field.editable]


def check_webhook_secret(secret: str) -> None:
    """Raise ValueError with a sentence if the secret is too short or does not fit into a URL."""
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(
            say("A webhook secret has at least {number} characters.", number=SHORTEST_SECRET)
        )
    if not all(char.isascii() and (char.isalnum() or char in "-_.~") for char in secret):
        raise ValueError(say("A webhook secret has letters, digits, and - _ . ~ only."))


def add_webhook_secret(marketplace: Marketplace, secret: str = "") -> str:
    """Give the account a new secret and return it; the current one works for seven more days.

    A random secret is made if none is given. Secrets that end sooner keep their end. A secret that
    the account had before becomes current again. Raises ValueError like check_webhook_secret, and
    IntegrityError for a secret of another account.
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
    """End the replaced addresses that still work, and return how many there were.

    What is sent to them from now on is held for a person. The current address stays.
    """
    with transaction.atomic():
        ended = marketplace.webhook_secrets.filter(expires_at__gt=Now()).update(expires_at=Now())
        if ended:
            audit.record(Act.ADDRESSES_ENDED, marketplace)
    return ended


def current_secret(marketplace: Marketplace) -> WebhookSecret | None:
    """Return the secret of the current address: one without an end, or else the last to end."""
    order = F("expires_at").desc(nulls_first=True)
    return marketplace.webhook_secrets.order_by(order, "-pk").first()


def webhook_secret(marketplace: Marketplace) -> str:
    """Return the account's secret, or "" if it has none. Raises SecretUnreadable."""
    current = current_secret(marketplace)
    return secrets.reveal(current.sealed) if current else ""


def webhook_address(marketplace: Marketplace) -> str:
    """Return the address to enter in SamCart as Notify URL, or "" if the account has no secret.

    Raises SecretUnreadable.
    """
    secret = webhook_secret(marketplace)
    return settings.PUBLIC_URL + reverse("hook", args=[secret]) if secret else ""


def save(integration: Integration, secret: str = "") -> None:
    """Save what a person entered of the integration, with a new key or signing secret if given.

    What a person does not enter, such as the stored key, stays as it is in the database, however
    long ago the row was read. A new secret, site or address ends any pause, since the old one
    caused it. Waiting actions then go on at once. Raises Integration.DoesNotExist for a row that
    was deleted meanwhile.
    """
    with transaction.atomic():
        before: Values = {}
        moved = False
        if integration.pk:
            stored = Integration.objects.select_for_update().get(pk=integration.pk)
            before = audit.values(stored)
            moved = (stored.site, stored.url) != (integration.site, integration.url)
            for name in _NOT_ENTERED:
                setattr(integration, name, getattr(stored, name))
        if secret:
            integration.set_secret(secret)
        elif moved:
            # Late answers of the old site must say nothing about the new one.
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


def switch(integration: Integration, **values: bool) -> None:
    """Set these switches of a stored integration, and nothing else, in the row and the database.

    Raises Integration.DoesNotExist if it was deleted meanwhile.
    """
    with transaction.atomic():
        lock(integration)
        before = audit.values(integration)
        for name, value in values.items():
            setattr(integration, name, value)
        integration.save(update_fields=values)
        audit.record_change(Act.INTEGRATION_CHANGED, integration, before)


def lock(integration: Integration) -> None:
    """Lock the stored row until the transaction ends, and read it again.

    Raises Integration.DoesNotExist if it was deleted meanwhile.
    """
    integration.refresh_from_db(from_queryset=Integration.objects.select_for_update())


def expires(secret: str) -> bool:
    """Return whether this is an access token, which expires, and not an API key."""
    return len(secret) > KEY_LENGTH


def expiry_warning(integration: Integration, today: date, *, advise: bool = True) -> str:
    """Return that a token expires soon or has expired, or "".

    `advise` adds what to do about it, for a person who may change the integration.
    """
    end = integration.secret_expires_on
    if end is None or end - WARNING > today:
        return ""
    told = _end_of_token(integration, end, (end - today).days)
    if not advise:
        return told
    advice = say(
        "Create a new one in Thinkific under Settings > Code & Analytics > API, and enter it "
        "with its date."
    )
    return joined([told, advice])


def _end_of_token(integration: Integration, end: date, days_left: int) -> Said:
    if days_left < 0:
        day = format_day(end, YEAR)
        return say("The access token of {name} expired on {day}.", name=integration, day=day)
    if days_left == 0:
        return say("The access token of {name} expires today.", name=integration)
    if days_left == 1:
        return say("The access token of {name} expires tomorrow.", name=integration)
    return say(
        "The access token of {name} expires on {day}, in {number} days.",
        name=integration,
        day=format_day(end, YEAR),
        number=days_left,
    )
