"""Each page, button and bulk action that changes something leaves an entry in the audit.

The table is complete by construction: a new page, button or bulk action fails the first test
until it stands here, with what it leaves or with the reason why it leaves nothing.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.admin.parts.buttons import Buttons
from config.admin.registry import PAGES
from events.access import holdings
from events.models import (
    AlertChannel,
    Batch,
    ComparisonFinding,
    ComparisonRun,
    EventLog,
    Grant,
    RuleRun,
)
from events.models.runs import DELAYED
from integrations.audit import Act
from integrations.models import AuditEntry, Customer, Destination, Integration, Marketplace, Product
from rules.actions import Action
from rules.models import NamedType, Rule
from tests.support import factories, queued
from tests.support import second_factor as second_factor_of
from tests.support import shop as shops
from tests.support.pages import client_of, person

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]

# Why something that can be pressed leaves no entry.
SHOWS = "It only shows something, or leads to another page."
READS = "It reads from Thinkific, or sends a sample; nothing that Admit keeps is changed by it."
LOOKS = "It looks first; the page many-… that follows does it."
# It needs transactions that really commit.
BY_CODE = "tests/admin/test_second_factor.py signs in by a code and looks at its entry."
ERASES = "tests/events/test_erase_person.py looks at its entry."


@dataclass
class Place:
    """An owner who is signed in, and one row of each kind."""

    client: Client
    owner: User
    shop: shops.Shop
    account: Marketplace
    site: Integration
    course: Destination
    product: Product
    rule: Rule
    run: RuleRun

    @property
    def event(self) -> EventLog:
        return self.run.event

    @property
    def customer(self) -> Customer:
        assert self.run.customer is not None
        return self.run.customer

    def post(self, page: str, *args: Any, **data: Any) -> None:
        """Post to a page of no model by its name."""
        answer = self.client.post(reverse(f"admin:{page}", args=args), data)
        assert answer.status_code in {200, 302}, answer

    def press(self, thing: Any, button: str, **data: Any) -> None:
        meta = thing._meta
        self.post(f"{meta.app_label}_{meta.model_name}_do_{button}", thing.pk, **data)

    def status(self, **facts: Any) -> None:
        RuleRun.objects.filter(pk=self.run.pk).update(**facts)


@pytest.fixture
def here() -> Place:
    owner = person(is_superuser=True, email="ada@example.com")
    shop = shops.build()
    course = factories.DestinationFactory.create(integration=shop.integration, name="Course Two")
    product = factories.ProductFactory.create(marketplace=shop.marketplace)
    rule = shop.rule(product=product.external_id, destination=course)
    run = queued.run(course, status="failed", rule=rule)
    return Place(
        client=client_of(owner),
        owner=owner,
        shop=shop,
        account=shop.marketplace,
        site=shop.integration,
        course=course,
        product=product,
        rule=rule,
        run=run,
    )


Way = Callable[[Place], Any]


def _account(page: str, **data: Any) -> Way:
    return lambda here: here.post(page, here.account.pk, **data)


def _end_old_address(here: Place) -> None:
    here.account.webhook_secrets.update(expires_at=Now() + timedelta(days=1))
    here.post("samcart-end-old-address", here.account.pk)


def _forget_type(here: Place) -> None:
    named = NamedType.objects.create(marketplace=here.account, type="x", trigger="product_refunded")
    here.post("samcart-forget-type", here.account.pk, named.pk)


def _coverage(here: Place) -> None:
    here.post("coverage", row=[f"{here.product.pk}"], missing="every")


def _several_products(here: Place) -> None:
    typed = {"marketplace": here.account.pk, "lines": "Yoga, 77\nDrawing, 78"}
    look = here.client.post(reverse("admin:several-products"), typed)
    here.post("several-products", save="1", seen=look.context["seen"], **typed)


def _new_rule(here: Place) -> None:
    answers: dict[str, Any] = {"product": here.product.pk, "integration": here.site.pk}
    answers |= {"action": "create_course_enrollment", "trigger": "subscription_restarted"}
    here.post("new-rule", destination=here.course.pk, **answers)


def _left_over(here: Place) -> None:
    """The rule that ends the access is about another course than the one that is given."""
    Rule.objects.all().delete()
    other = factories.DestinationFactory.create(integration=here.site)
    ends = {"trigger": "product_refunded", "action": "expire_course_enrollment"}
    here.shop.rule(product=here.product.external_id, destination=here.course)
    rule = here.shop.rule(product=here.product.external_id, destination=other, **ends)
    here.post("left-over", left=f"{rule.pk}-{rule.destination_id}-{here.course.pk}", change="1")


def _earlier(here: Place) -> None:
    Rule.objects.all().delete()
    here.shop.sell()
    rule = here.shop.rule(destination=here.course)
    here.post("earlier", rule=rule.pk)


def _given_by_rule(here: Place) -> None:
    Rule.objects.all().delete()
    rule = here.shop.rule(destination=here.course)
    here.shop.sell()
    number = rule.pk
    rule.delete()
    event, address = EventLog.objects.latest("pk"), reverse("admin:given-by-rule")
    here.client.post(f"{address}?rule={number}", {"chosen": event.pk})


def _refunded(here: Place) -> None:
    Rule.objects.all().delete()
    here.shop.rule(destination=here.course)
    here.shop.sell()
    event = EventLog.objects.latest("pk")
    here.shop.sell("20_product")
    here.post("refunded", chosen=event.pk)


def _give_access(here: Place, **more: Any) -> None:
    gift = {"purchase": "gift", "destination": here.course.pk, "reason": "A gift."}
    here.post("give-access", customer=here.customer.pk, **gift, **more)


def _give_to_anyone(here: Place) -> None:
    gift = {"email": "new@example.com", "destination": here.course.pk, "reason": "A gift."}
    here.post("give-to-anyone", **gift)


def _end_access(here: Place) -> None:
    _give_access(here)
    held = holdings.of_customer(here.customer)[0]
    here.post("end-access", customer=here.customer.pk, holding=held.key, reason="No more.")


def _keep_access(here: Place) -> None:
    Rule.objects.all().delete()
    here.shop.rule(destination=here.course)
    here.shop.sell()
    here.shop.sell("20_product")
    EventLog.objects.filter(trigger="product_refunded").update(received_at=timezone.now())
    Grant.objects.update(seen_at=Now())
    buyer = EventLog.objects.latest("pk").customer
    assert buyer
    (held,) = holdings.of_customer(buyer)
    here.post("keep-access", customer=buyer.pk, holding=held.key)


def _give_back(here: Place) -> None:
    _end_access(here)
    run = RuleRun.objects.latest("pk")
    here.post("give-back", customer=here.customer.pk, run=run.pk, reason="A mistake.")


def _change_last_day(here: Place) -> None:
    days = [timezone.localdate() + timedelta(days=number) for number in (5, 9)]
    _give_access(here, until=days[0])
    run = RuleRun.objects.delayed().get()
    chosen = {"customer": here.customer.pk, "run": run.pk, "until": days[1], "reason": "Longer."}
    here.post("change-last-day", **chosen)


def _undo_batch(here: Place) -> None:
    _given_by_rule(here)
    batch = Batch.objects.latest("pk")
    ((first, *_),) = batch.new_ids
    address = f"{reverse('admin:undo-batch')}?number={batch.pk}"
    here.client.post(address, {"chosen": first})


def _move_access(here: Place) -> None:
    _give_access(here)
    here.post(
        "move-access", customer=here.customer.pk, email="other@example.com", reason="A new address."
    )


def _enter_order(here: Place) -> None:
    here.post(
        "enter-order",
        product=here.product.pk,
        order_id="1190",
        email="eve@example.com",
        reason="Missed.",
    )


def _compare_enroll(here: Place) -> None:
    grant = queued.grant(here.run)
    here.status(status="done", finished_at=queued.START)
    last = ComparisonRun.objects.create(
        integration=here.site, phase="done", finished_at=Now(), courses=[]
    )
    ComparisonFinding.objects.create(
        comparison=last,
        kind="missing",
        course_id=here.course.external_id,
        name="Course Two",
        shows="ended",
        grant=grant,
        customer=here.customer,
    )
    sent = {"site": here.site.pk, "comparison": last.pk, "kind": "missing", "all": "1"}
    here.post("compare-enroll", **sent)


def _channel(here: Place) -> AlertChannel:
    return AlertChannel.objects.create(person=here.owner, kind="slack", sealed_address="x")


def _silence(here: Place) -> None:
    event, now = here.event, timezone.now()
    hourly = [copy.copy(event) for _ in range(24 * 20)]
    for hours, each in enumerate(hourly, start=10):
        each.pk, each.line, each.received_at = None, hours, now - timedelta(hours=hours)
    here.run.delete()
    EventLog.objects.all().delete()
    EventLog.objects.bulk_create(hourly)
    here.post("alerts-silence", account=event.marketplace_id)


def _turn_site_on(here: Place) -> None:
    Integration.objects.filter(pk=here.site.pk).update(enabled=False)
    here.press(here.site, "turn_on")


def _remove_of_another(here: Place) -> None:
    eve = person(email="eve@example.com")
    second_factor_of.add(eve)
    here.press(eve, "remove_second_factor")


def _run(button: str, **facts: Any) -> Way:
    def do(here: Place) -> None:
        here.status(**facts)
        here.press(here.run, button)

    return do


def _ending(button: str) -> Way:
    def do(here: Place) -> None:
        tomorrow = timezone.now() + timedelta(days=1)
        here.status(
            action=Action.EXPIRE_COURSE_ENROLLMENT,
            status="waiting",
            code=DELAYED,
            next_attempt_at=tomorrow,
        )
        here.press(here.run, button)

    return do


def _run_again(here: Place) -> None:
    receiver = factories.ReceiverFactory.create()
    sent = {"action": Action.SEND_HTTP_POST, "integration": receiver, "target": ""}
    here.status(status="done", destination_id=None, **sent)
    here.press(here.run, "run_again")


def _rerun(how: Way) -> Way:
    def do(here: Place) -> None:
        Rule.objects.all().delete()
        event = here.shop.sell()
        here.shop.rule(destination=here.course)
        here.run = queued.run(here.course, of=event, status="failed")
        how(here)

    return do


def _another_course(here: Place) -> None:
    other = factories.DestinationFactory.create(integration=here.site)
    Destination.objects.exclude(pk=other.pk).update(gone_at=Now())
    gone = here.rule.destination_id
    here.post("another-course", course=gone, rule=here.rule.pk, destination=other.pk)


def _many_days(here: Place) -> None:
    ends = {"action": "expire_course_enrollment", "status": "waiting", "code": "delayed"}
    here.status(**ends, next_attempt_at=timezone.now() + timedelta(days=2))
    Rule.objects.update(delay_days=5)
    here.post("many-days", chosen=here.run.pk)


def _many_anyway(here: Place) -> None:
    here.status(status="skipped")
    here.post("many-anyway", chosen=here.run.pk)


def _undone(here: Place) -> EventLog:
    event = here.shop.sell({"type": "Never heard of"})
    assert event.status == "unknown_type"
    return event


def _give_email(here: Place) -> None:
    here.status(status="failed", customer=None)
    EventLog.objects.update(customer=None, email_as_sent="x@")
    here.press(here.event, "give_email", email="eve@example.com")


def _mark_back(here: Place) -> None:
    Destination.objects.update(gone_at=Now())
    here.press(here.course, "mark_back")


def _switch_on(here: Place) -> None:
    Rule.objects.update(enabled=False)
    here.press(here.rule, "switch_on")


def _remove(here: Place) -> None:
    unused = factories.DestinationFactory.create(by_hand=True)
    here.press(unused, "remove")


def _undo(here: Place) -> None:
    here.press(here.rule, "switch_off")
    here.press(AuditEntry.objects.latest("pk"), "undo")


def _undo_step(here: Place) -> None:
    page = reverse("admin:rules_rule_delete", args=[here.rule.pk])
    here.client.post(page, {"post": "yes"})
    here.client.post(f"{reverse('admin:undo-step')}?undoes={AuditEntry.objects.latest('pk').pk}")


def _ask_thinkific(here: Place) -> None:
    # Nothing is sent to a site without a key.
    Integration.objects.update(sealed_secret="unreadable")
    here.press(here.customer, "ask_thinkific")


def _somebody(here: Place, *, on: bool = True) -> User:
    return person("Viewer", is_active=on)


def _new_secret(here: Place) -> None:
    here.press(factories.ReceiverFactory.create(), "new_secret")


# What each page of no model leaves when its form is posted, or why it leaves nothing.
POSTED: dict[str, str | tuple[Act, Way]] = {
    "samcart": SHOWS,
    "samcart-account": SHOWS,
    "samcart-address": (Act.ADDRESS_SHOWN, _account("samcart-address")),
    "samcart-new-secret": (Act.ADDRESS_REPLACED, _account("samcart-new-secret")),
    "samcart-end-old-address": (Act.ADDRESSES_ENDED, _end_old_address),
    "samcart-own-rules": (Act.ACCOUNT_CHANGED, _account("samcart-own-rules", own_rules_off="on")),
    "samcart-name-type": (
        Act.TYPE_NAMED,
        _account("samcart-name-type", type="new one", trigger="product_refunded"),
    ),
    "samcart-forget-type": (Act.TYPE_UNNAMED, _forget_type),
    "samcart-rename": (Act.ACCOUNT_CHANGED, _account("samcart-rename", name="Another")),
    "samcart-add": (Act.ACCOUNT_ADDED, lambda here: here.post("samcart-add", name="Another")),
    "samcart-delete": (Act.ACCOUNT_DELETED, _account("samcart-delete")),
    "coverage": (Act.RULE_ADDED, _coverage),
    "several-products": (Act.PRODUCT_ADDED, _several_products),
    **{
        f"csv-{name}": (Act.LIST_DOWNLOADED, partial(Place.post, page=f"csv-{name}"))
        for name in ("log", "actions", "customers", "coverage")
    },
    "help": SHOWS,
    "search": SHOWS,
    "search-hits": SHOWS,
    "new-rule": (Act.RULE_ADDED, _new_rule),
    "new-rule-added": SHOWS,
    "new-rule-refresh": READS,
    "another-course": (Act.RULE_CHANGED, _another_course),
    "earlier": (Act.BUYERS_ENROLLED, _earlier),
    "left-over": (Act.RULE_CHANGED, _left_over),
    "undo-step": (Act.RULE_ADDED, _undo_step),
    "give-to-anyone": (Act.ACCESS_GIVEN, _give_to_anyone),
    "given-by-rule": (Act.BUYERS_ENDED, _given_by_rule),
    "refunded": (Act.REFUNDED_ENDED, _refunded),
    "give-access": (Act.ACCESS_GIVEN, _give_access),
    "end-access": (Act.ACCESS_ENDED, _end_access),
    "keep-access": (Act.REFUNDED_KEPT, _keep_access),
    "give-back": (Act.ACCESS_GIVEN_BACK, _give_back),
    "change-last-day": (Act.LAST_DAY_CHANGED, _change_last_day),
    "move-access": (Act.ACCESS_MOVED, _move_access),
    "enter-order": (Act.ORDER_ENTERED, _enter_order),
    "add-note": (
        Act.NOTE_ADDED,
        lambda here: here.post("add-note", customer=here.customer.pk, reason="Called."),
    ),
    "batch": SHOWS,
    "undo-batch": (Act.BATCH_UNDONE, _undo_batch),
    "many-retry": (Act.RUN_RETRIED, lambda here: here.post("many-retry", chosen=here.run.pk)),
    "many-anyway": (Act.DONE_ANYWAY, _many_anyway),
    "many-rerun": (
        Act.EVENT_RERUN,
        _rerun(lambda here: here.post("many-rerun", chosen=here.event.pk)),
    ),
    "many-dismiss": (
        Act.RUN_DISMISSED,
        lambda here: here.post("many-dismiss", chosen=here.run.pk),
    ),
    "many-days": (Act.LAST_DAY_CHANGED, _many_days),
    "many-deal": (
        Act.EVENT_DISMISSED,
        lambda here: here.post("many-deal", chosen=_undone(here).pk),
    ),
    "erase-person": ERASES,
    "letter": (Act.LETTER_CHANGED, lambda here: here.post("letter", text="Hi {first name}")),
    "account": (
        Act.PERSON_CHANGED,
        lambda here: here.post("account", time_zone="Europe/Berlin"),
    ),
    "second-factor": SHOWS,
    "second-factor-new-codes": BY_CODE,
    "second-factor-remove": BY_CODE,
    "sessions": (Act.SESSIONS_ENDED, lambda here: here.post("sessions", end="all")),
    "person-sessions": (
        Act.SESSIONS_ENDED,
        lambda here: here.post("person-sessions", here.owner.pk, end="all"),
    ),
    "simulate": SHOWS,
    "compare": SHOWS,
    "compare-start": (Act.COMPARED, lambda here: here.post("compare-start", site=here.site.pk)),
    "compare-enroll": (Act.REPAIR_APPROVED, _compare_enroll),
    "queue": SHOWS,
    "alerts": SHOWS,
    "alerts-channel": (
        Act.ALERTS_CHANGED,
        lambda here: here.post("alerts-channel", channel=_channel(here).pk, codes="silence"),
    ),
    "alerts-test": READS,
    "alerts-delete": (
        Act.ALERTS_CHANGED,
        lambda here: here.post("alerts-delete", channel=_channel(here).pk),
    ),
    "alerts-silence": (Act.SILENCE_RIGHT, _silence),
}
# The same of each button, by model and name.
PRESSED: dict[tuple[str, str], str | tuple[Act, Way]] = {
    ("integration", "refresh"): READS,
    ("integration", "try_now"): READS,
    ("integration", "send_test"): READS,
    ("integration", "turn_on"): (Act.INTEGRATION_CHANGED, _turn_site_on),
    ("integration", "turn_off"): (
        Act.INTEGRATION_CHANGED,
        lambda here: here.press(here.site, "turn_off"),
    ),
    ("integration", "note_welcome_emails"): (
        Act.INTEGRATION_CHANGED,
        lambda here: here.press(here.site, "note_welcome_emails"),
    ),
    ("integration", "need_not_be_private"): (
        Act.INTEGRATION_CHANGED,
        lambda here: here.press(here.site, "need_not_be_private"),
    ),
    ("integration", "new_secret"): (Act.KEY_REPLACED, _new_secret),
    ("destination", "mark_gone"): (
        Act.COURSE_GONE,
        lambda here: here.press(here.course, "mark_gone"),
    ),
    ("destination", "mark_back"): (
        Act.COURSE_BACK,
        _mark_back,
    ),
    ("destination", "remove"): (Act.COURSE_REMOVED, _remove),
    ("rule", "switch_on"): (
        Act.RULE_CHANGED,
        _switch_on,
    ),
    ("rule", "switch_off"): (Act.RULE_CHANGED, lambda here: here.press(here.rule, "switch_off")),
    ("product", "end_access"): (
        Act.RULE_ADDED,
        lambda here: here.press(here.product, "end_access", pair="product_refunded"),
    ),
    ("eventlog", "rerun"): (
        Act.EVENT_RERUN,
        _rerun(lambda here: here.press(here.event, "rerun")),
    ),
    ("eventlog", "deal_with"): (
        Act.EVENT_DISMISSED,
        lambda here: here.press(_undone(here), "deal_with"),
    ),
    ("eventlog", "give_email"): (Act.EMAIL_CORRECTED, _give_email),
    ("eventlog", "give_trigger"): (
        Act.TYPE_NAMED,
        lambda here: here.press(_undone(here), "give_trigger", trigger="product_refunded"),
    ),
    ("rulerun", "retry"): (Act.RUN_RETRIED, _run("retry")),
    ("rulerun", "try_now"): (
        Act.RUN_RETRIED,
        _run(
            "try_now",
            status="waiting",
            attempts=1,
            next_attempt_at=timezone.now() + timedelta(hours=1),
        ),
    ),
    ("rulerun", "release"): (Act.RUN_RELEASED, _run("release", status="held")),
    ("rulerun", "do_anyway"): (Act.DONE_ANYWAY, _run("do_anyway", status="skipped")),
    ("rulerun", "run_again"): (Act.RUN_REPEATED, _run_again),
    ("rulerun", "dismiss"): (Act.RUN_DISMISSED, _run("dismiss")),
    ("rulerun", "end_now"): (Act.ENDED_NOW, _ending("end_now")),
    ("rulerun", "keep"): (Act.RUN_DISMISSED, _ending("keep")),
    ("rulerun", "refresh"): READS,
    ("rulerun", "turn_rule_off"): (Act.RULE_CHANGED, _run("turn_rule_off")),
    ("customer", "ask_thinkific"): (Act.STUDENT_CHECKED, _ask_thinkific),
    ("customer", "download_data"): (
        Act.EXPORTED,
        lambda here: here.press(here.customer, "download_data"),
    ),
    ("user", "remove_second_factor"): (Act.SECOND_FACTOR_OFF, _remove_of_another),
    ("user", "new_link"): (Act.LINK_MADE, lambda here: here.press(here.owner, "new_link")),
    ("user", "switch_off"): (
        Act.PERSON_OFF,
        lambda here: here.press(_somebody(here), "switch_off"),
    ),
    ("user", "switch_on"): (
        Act.PERSON_ON,
        lambda here: here.press(_somebody(here, on=False), "switch_on"),
    ),
    ("auditentry", "undo"): (Act.RULE_CHANGED, _undo),
}


def _bulk(page: str, action: str, thing: Callable[[Place], Any], **facts: Any) -> Way:
    def do(here: Place) -> None:
        if facts:
            here.status(**facts)
        here.post(f"{page}_changelist", action=action, _selected_action=thing(here).pk)

    return do


_OF_RULE = partial(_bulk, "rules_rule", thing=lambda here: here.rule)
_OF_RUN = partial(_bulk, "events_rulerun", thing=lambda here: here.run)


def _turn_on(here: Place) -> None:
    Rule.objects.update(enabled=False)
    _OF_RULE("turn_on")(here)


def _delete_rules(here: Place) -> None:
    data = {"action": "delete_selected", "_selected_action": here.rule.pk, "post": "yes"}
    here.post("rules_rule_changelist", **data)


# And of each bulk action.
DONE_IN_BULK: dict[tuple[str, str], str | tuple[Act, Way]] = {
    ("integration", "refresh_ticked"): READS,
    ("rule", "turn_on"): (Act.RULE_CHANGED, _turn_on),
    ("rule", "turn_off"): (Act.RULE_CHANGED, _OF_RULE("turn_off")),
    ("rule", "delete_selected"): (Act.RULE_DELETED, _delete_rules),
    ("eventlog", "retry_chosen"): LOOKS,
    ("eventlog", "rerun_chosen"): LOOKS,
    ("eventlog", "deal_with_chosen"): (
        Act.EVENT_DISMISSED,
        _bulk("events_eventlog", "deal_with_chosen", _undone),
    ),
    ("rulerun", "retry_chosen"): LOOKS,
    ("rulerun", "dismiss_chosen"): (Act.RUN_DISMISSED, _OF_RUN("dismiss_chosen")),
    ("rulerun", "do_chosen_anyway"): LOOKS,
    ("rulerun", "end_on_rules_day"): LOOKS,
}


def _form(thing: Callable[[Place], Any], **changes: Any) -> Way:
    """Open the page of this row, or of a new one where it is a model, and save it changed."""

    def do(here: Place) -> None:
        row = thing(here)
        meta = row._meta
        name = f"admin:{meta.app_label}_{meta.model_name}"
        page = (
            reverse(f"{name}_add")
            if isinstance(row, type)
            else reverse(f"{name}_change", args=[row.pk])
        )
        form = here.client.get(page).context["adminform"].form
        shown = {each.html_name: _sent(each.value()) for each in form}
        sent = {key: value for key, value in shown.items() if value not in (None, False)}
        answer = here.client.post(page, sent | changes)
        assert answer.status_code in {200, 302}
        if answer.status_code == 200 and "adminform" in answer.context:
            raise AssertionError(answer.context["adminform"].form.errors)

    return do


def _sent(value: Any) -> Any:
    """As a browser sends it: of rows their numbers."""
    return [getattr(each, "pk", each) for each in value] if isinstance(value, list) else value


def _group(here: Place) -> Group:
    return Group.objects.get(name="Viewer")


def _delete(thing: Callable[[Place], Any]) -> Way:
    def do(here: Place) -> None:
        row = thing(here)
        meta = row._meta
        page = reverse(f"admin:{meta.app_label}_{meta.model_name}_delete", args=[row.pk])
        assert here.client.post(page, {"post": "yes"}).status_code == 302

    return do


def _mapping(here: Place) -> None:
    field = factories.ProfileFieldFactory.create(integration=here.site)
    row = {"0-samcart_field": "Company", "0-profile_field": field.pk}
    sent = {f"field_mappings-{name}": value for name, value in row.items()}
    _save_site(here, here.site, **(sent | {"field_mappings-TOTAL_FORMS": "1"}))


def _save_site(here: Place, row: Integration | None = None, **changes: Any) -> None:
    # By the button that reads nothing from Thinkific afterwards.
    sent = {"app": "thinkific", "name": "Art Academy", "site": "acme", "_add_mapping": "1"}
    sent |= {"enabled": "on", "field_mappings-TOTAL_FORMS": "0"}
    sent |= {"field_mappings-INITIAL_FORMS": "0"} | changes
    page = "integrations_integration_change" if row else "integrations_integration_add"
    here.post(page, *([row.pk] if row else []), **sent)


# What saving and deleting leaves, of each model whose rows can be saved or deleted.
SAVED: dict[tuple[str, str], tuple[Act, Way]] = {
    ("integration", "add"): (
        Act.INTEGRATION_ADDED,
        lambda here: _save_site(here, name="Other", site="other", secret=factories.KEY),
    ),
    ("integration", "change"): (
        Act.INTEGRATION_CHANGED,
        lambda here: _save_site(here, here.site, student_field="Student"),
    ),
    ("integration", "key"): (
        Act.KEY_REPLACED,
        lambda here: _save_site(here, here.site, secret="f" * 32),
    ),
    ("integration", "mapping"): (Act.MAPPING_CHANGED, _mapping),
    ("integration", "delete"): (Act.INTEGRATION_DELETED, _delete(lambda here: here.site)),
    ("product", "add"): (
        Act.PRODUCT_ADDED,
        _form(lambda here: Product, external_id="77", name="New"),
    ),
    ("product", "change"): (Act.PRODUCT_CHANGED, _form(lambda here: here.product, name="New")),
    ("product", "delete"): (Act.PRODUCT_DELETED, _delete(lambda here: here.product)),
    ("rule", "change"): (
        Act.RULE_CHANGED,
        _form(lambda here: here.rule, trigger="subscription_recovered"),
    ),
    ("rule", "delete"): (Act.RULE_DELETED, _delete(lambda here: here.rule)),
    ("user", "add"): (
        Act.PERSON_ADDED,
        _form(lambda here: User, name="Eve", email="eve@example.com", role="Viewer"),
    ),
    ("user", "change"): (
        Act.PERSON_CHANGED,
        _form(_somebody, name="Eve Moss", email="eve@example.com"),
    ),
    ("group", "add"): (Act.GROUP_CHANGED, _form(lambda here: Group, name="Interns")),
    ("group", "change"): (Act.GROUP_CHANGED, _form(_group, name="Interns")),
    ("group", "delete"): (Act.GROUP_DELETED, _delete(_group)),
}


def keepers() -> list[Buttons]:
    return [each for each in admin.site._registry.values() if isinstance(each, Buttons)]


def test_every_page_button_and_bulk_action_says_what_it_leaves(rf):
    assert {page.name for page in PAGES} == set(POSTED)
    assert {(k.opts.model_name, b.name) for k in keepers() for b in k.buttons} == set(PRESSED)
    request = rf.get("/admin/")
    request.user = person(is_superuser=True)
    offered = {(k.opts.model_name, name) for k in keepers() for name in k.get_actions(request)}
    assert offered == set(DONE_IN_BULK)
    adds = {k.opts.model_name for k in keepers() if k.has_add_permission(request)}
    changes = {k.opts.model_name for k in keepers() if k.has_change_permission(request)}
    deletes = {k.opts.model_name for k in keepers() if k.has_delete_permission(request)}
    # Rules are added on the page New rule.
    assert adds - {"rule"} == {model for model, what in SAVED if what == "add"}
    assert changes == {model for model, what in SAVED if what == "change"}
    assert deletes == {model for model, what in SAVED if what == "delete"}


CASES: dict[str, Any] = {
    **{f"post {name}": case for name, case in POSTED.items()},
    **{f"press {' '.join(name)}": case for name, case in PRESSED.items()},
    **{f"bulk {' '.join(name)}": case for name, case in DONE_IN_BULK.items()},
    **{f"save {' '.join(name)}": case for name, case in SAVED.items()},
}


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if not isinstance(case, str)]
)
def test_what_a_person_does_is_recorded_with_who_did_it_and_where(here, name, settings):
    settings.PUBLIC_URL = "https://admit.example.com"
    act, do = CASES[name]
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    do(here)

    entries = AuditEntry.objects.exclude(pk__in=before)
    assert act in set(entries.values_list("act", flat=True))
    for entry in entries:
        assert entry.who == here.owner.get_username()
        assert entry.place.startswith("/admin/")
        assert entry.address == "127.0.0.1"
        assert factories.KEY not in f"{entry.before} {entry.after} {entry.note}"
