"""The SamCart page: the address that SamCart posts to, and what to set up in SamCart."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from config import public_url
from config.admin.pages.integrations import samcart_accounts
from config.admin.pages.integrations.samcart_accounts import posted, to_account
from config.admin.parts import edit_conflicts
from config.admin.parts.confirm import ask
from config.admin.parts.page import Page, render
from events.deciding import naming
from events.receiving.samples import has_type
from events.reports.system import trigger_coverage
from integrations import audit, credentials
from integrations.audit import Act
from integrations.models import Marketplace, WebhookSecret
from integrations.secrets import SecretUnreadable
from integrations.sentences import FULL, format_day, joined, say, say_count
from rules import pairing
from rules.models import MEANINGS
from rules.triggers import Category, Trigger

SEE = "integrations.view_marketplace"
SEE_ADDRESS = "integrations.see_address_marketplace"
# The triggers that are enough to let buyers in, end access, and give it back.
SHORTEST = (Trigger.PRODUCT_PURCHASED, *pairing.ENDS, *pairing.GIVES_BACK)
OLDER_ADDRESSES = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A trigger: how many rules wait for it, when it was last received, and its address, if any."""

    trigger: Trigger
    rules: int
    heard: datetime | None
    address: str

    @property
    def missing(self) -> bool:
        return bool(self.rules) and self.heard is None

    @property
    def needs_own(self) -> bool:
        """Whether SamCart's type for it is not certain, so that only its own address can tell."""
        return not has_type(self.trigger)


@dataclass(frozen=True, slots=True)
class Older:
    """A replaced address: until when it works, and when something was last sent to it."""

    made: datetime
    until: datetime
    works: bool
    used: datetime | None


def show(request: HttpRequest, account: int | None = None) -> HttpResponse:
    """An account with what to set up in SamCart; without a number, the oldest one."""
    if account is not None:
        return _page(request, get_object_or_404(Marketplace, pk=account))
    oldest = Marketplace.objects.order_by("pk").first()
    if oldest is None:
        return render(request, "admin/samcart/none.html", title="SamCart")
    return _page(request, oldest)


@posted
def show_address(request: HttpRequest, account: Marketplace) -> HttpResponse:
    """The same page with the address in it, which only this answer to a POST contains."""
    return ask(request) or _page(request, account, reveal=True)


@posted
def new_secret(request: HttpRequest, account: Marketplace) -> HttpResponse:
    """Make a new address. The old one works for another week."""
    if page := ask(request):
        return page
    before = account.webhook_secrets.exists()
    credentials.add_webhook_secret(account)
    text = say("{name} has a new address. Press Show, and paste it in SamCart.", name=account)
    if before:
        old = say(
            "The old one works until {moment}: if a stranger knows it, "
            "paste the new one in SamCart now, then end the old one below.",
            moment=format_day(timezone.now() + credentials.OVERLAP, FULL),
        )
        text = joined([text, old])
    messages.success(request, text)
    return to_account(account, "address")


@posted
def end_old_address(request: HttpRequest, account: Marketplace) -> HttpResponse:
    """End replaced addresses at once, for example because a stranger knows one."""
    if page := ask(request):
        return page
    ended = credentials.end_old_addresses(account)
    if ended:
        text = say_count(
            ended,
            "{name}: The old address no longer works. What is still sent there is kept, enrolls "
            "nobody and waits for you.",
            "{name}: {number} old addresses no longer work. What is still sent there is kept, "
            "enrolls nobody and waits for you.",
            name=account,
        )
        messages.success(request, text)
    else:
        text = say("{name} has no old address that still works.", name=account)
        messages.info(request, text)
    return to_account(account, "address")


def _page(request: HttpRequest, account: Marketplace, *, reveal: bool = False) -> HttpResponse:
    unreachable = public_url.problem()
    address, fault = _address(account) if reveal and not unreachable else ("", "")
    if address:
        audit.record(Act.ADDRESS_SHOWN, account)
    rows = _rows(account, address)
    return render(
        request,
        "admin/samcart/account.html",
        title="SamCart",
        account=account,
        opened=edit_conflicts.form_state(request, audit.values(account)),
        accounts=Marketplace.objects.order_by("pk"),
        unreachable=unreachable,
        address=address,
        fault=fault,
        has_address=credentials.current_secret(account) is not None,
        older=(older := _older(account)),
        older_works=sum(one.works for one in older),
        overlap_days=credentials.OVERLAP.days,
        missing=trigger_coverage.judge_missing(
            account, {row.trigger: row.rules for row in rows if row.missing}
        ),
        tables=[
            (category.label, [row for row in rows if row.trigger.category is category])
            for category in Category
        ],
        shortest=SHORTEST,
        triggers=MEANINGS,
        unnamed=naming.unnamed(account),
        named=account.named_types.order_by("type"),
    )


def _address(account: Marketplace) -> tuple[str, str]:
    """Return (address, why it cannot be shown), of which one is ""."""
    try:
        return credentials.webhook_address(account), ""
    except SecretUnreadable as error:
        return "", error.message


def _rows(account: Marketplace, address: str) -> list[Row]:
    """Return a row for each trigger, with its own address if only that can identify it."""
    needed, last = (
        trigger_coverage.needed(account),
        trigger_coverage.last_received(account, Trigger),
    )
    return [
        Row(
            trigger,
            needed.get(trigger, 0),
            last[trigger],
            f"{address}{trigger.value}/" if address and not has_type(trigger) else "",
        )
        for trigger in Trigger
    ]


def _older(account: Marketplace) -> list[Older]:
    """Return the replaced addresses, the latest first."""
    ending = account.webhook_secrets.exclude(expires_at=None).order_by("-expires_at", "-pk")
    rows: Iterable[WebhookSecret] = ending[:OLDER_ADDRESSES]
    used, now = trigger_coverage.last_through(account), timezone.now()
    return [
        Older(row.created_at, row.expires_at, row.expires_at > now, used.get(row.pk))
        for row in rows
        if row.expires_at is not None
    ]


PAGES = [
    Page("samcart/", "samcart", show, SEE),
    Page("samcart/<int:account>/", "samcart-account", show, SEE),
    Page("samcart/<int:account>/address/", "samcart-address", show_address, SEE_ADDRESS),
    Page("samcart/<int:account>/new-secret/", "samcart-new-secret", new_secret, SEE_ADDRESS),
    Page(
        "samcart/<int:account>/end-old-address/",
        "samcart-end-old-address",
        end_old_address,
        SEE_ADDRESS,
    ),
    *samcart_accounts.PAGES,
]
