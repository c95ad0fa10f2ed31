"""Events older than the ledger become grants, and nobody loses access by that."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from events.access import by_hand, history
from events.deciding import entered_order
from events.execution import email_correction, rerun, retry_by_hand
from events.models import Delivery, EventLog, Grant, History, RuleRun
from events.worker import scheduler, tasks
from integrations.models import Customer, Destination, Marketplace, Product, ThinkificUser
from rules.actions import Action
from tests.support import factories, queued
from tests.support.samcart import changed

State = Grant.State
GIVE, END = Action.CREATE_COURSE_ENROLLMENT, Action.EXPIRE_COURSE_ENROLLMENT
GIVE_BUNDLE, END_BUNDLE = Action.CREATE_BUNDLE_ENROLLMENT, Action.EXPIRE_BUNDLE_ENROLLMENT
BUY, REFUND, CHARGE = "product_purchased", "product_refunded", "subscription_charged"


@dataclass(frozen=True)
class Past:
    """An event of before the ledger, with its action as it was left."""

    order: str
    trigger: str = BUY
    status: str = "done"
    code: str = ""
    action: str = ""
    course: str = "A"
    done_at: int = 0  # beside its place in the story
    facts: dict[str, Any] = field(default_factory=dict)


def ended(order: str, **facts: Any) -> Past:
    usual: dict[str, Any] = {"trigger": REFUND, "code": "ended", "action": END}
    return Past(order, **usual | facts)


SKIPPED: dict[str, Any] = {"status": "skipped", "code": "overtaken"}
DISMISSED: dict[str, Any] = {"status": "skipped", "code": "dismissed"}
OPEN, OWED, OVER, WAIVED = "open", "owed", "ended", "waived"


@pytest.mark.parametrize(
    ("story", "grants", "stranded"),
    [
        pytest.param([Past("1")], {"1": OPEN}, [], id="bought"),
        pytest.param([Past("1"), ended("1")], {"1": OVER}, [], id="bought and refunded"),
        pytest.param(
            [Past("1", status="failed")],
            {"1": OWED},
            [],
            id="a failed one is owed and shows itself",
        ),
        pytest.param([Past("1", status="waiting")], {"1": OWED}, [], id="a waiting one is owed"),
        pytest.param([Past("1", status="held")], {}, [], id="a held one changes nothing"),
        pytest.param([Past("1", **DISMISSED)], {"1": WAIVED}, [], id="a dismissed one is waived"),
        pytest.param(
            [Past("1", **DISMISSED, facts={"started_at": None})],
            {},
            [],
            id="one that was held and dismissed changes nothing",
        ),
        pytest.param(
            [Past("1"), Past("1", CHARGE, **DISMISSED)],
            {"1": OPEN},
            [],
            id="dismissing a renewal takes nothing away",
        ),
        pytest.param(
            [Past("1", **DISMISSED), Past("1", CHARGE)],
            {"1": OPEN},
            [],
            id="a renewal after a dismissed purchase gives it",
        ),
        pytest.param(
            [Past("1"), Past("2"), ended("1")],
            {"1": OVER, "2": OWED},
            ["2"],
            id="the refund of one took what the other pays for",
        ),
        pytest.param(
            [Past("1"), Past("2"), ended("1"), Past("2", CHARGE)],
            {"1": OVER, "2": OPEN},
            [],
            id="the refund of one took it and the renewal of the other gave it back",
        ),
        pytest.param(
            [Past("1"), Past("2"), ended("1", status="failed", code="refused")],
            {"1": OVER, "2": OPEN},
            [],
            id="the refund of one failed and took nothing",
        ),
        pytest.param(
            [Past("1", **SKIPPED), Past("2")],
            {"1": OPEN, "2": OPEN},
            [],
            id="overtaken by another purchase",
        ),
        pytest.param(
            [Past("1", **SKIPPED), Past("2"), ended("2")],
            {"1": OWED, "2": OVER},
            ["1"],
            id="overtaken by another purchase that was refunded",
        ),
        pytest.param(
            [Past("1"), ended("1", **SKIPPED), Past("2")],
            {"1": OVER, "2": OPEN},
            [],
            id="a refund overtaken by another purchase",
        ),
        pytest.param(
            [Past("1", done_at=9), ended("1")],
            {"1": OPEN},
            [],
            id="given by hand after the refund",
        ),
        pytest.param(
            [Past("1", done_at=9), ended("1"), ended("1", done_at=20)],
            {"1": OVER},
            [],
            id="given by hand after the refund and ended again",
        ),
        pytest.param(
            [ended("1", code="was_not_enrolled"), Past("1")],
            {"1": OVER},
            [],
            id="refunded before it was bought",
        ),
        pytest.param(
            [Past("1"), Past("2"), ended("3", trigger=BUY)],
            {"1": OVER, "2": OVER, "3": OVER},
            [],
            id="a purchase that ends ended it whatever gave it",
        ),
        pytest.param(
            [Past("1", action=GIVE_BUNDLE, course="bundle"), Past("2"), ended("2")],
            {"1": OWED, "2": OVER},
            ["1"],
            id="the refund of a course took a part of a bundle",
        ),
        pytest.param(
            [
                Past("1"),
                Past("2", action=GIVE_BUNDLE, course="bundle"),
                ended("2", action=END_BUNDLE, course="bundle"),
            ],
            {"1": OWED, "2": OVER},
            ["1"],
            id="the refund of a bundle took a course that was bought alone",
        ),
        pytest.param(
            [Past("1", course="B"), Past("2"), ended("2")],
            {"1": OPEN, "2": OVER},
            [],
            id="the refund of one course leaves the other",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 50])
def test_each_history_becomes_grants(
    db, monkeypatch, size: int, story: list[Past], grants: dict[str, str], stranded: list[str]
):
    """However much of it is read at once."""
    monkeypatch.setattr(history, "STEP", size)
    write(story)
    read()
    assert {row.order_id: state(row) for row in Grant.objects.all()} == grants
    assert [row.order_id for row in Grant.objects.stranded()] == stranded
    assert [run.event.order_id for run in RuleRun.objects.stranded()] == stranded


def test_each_action_has_the_grant_that_it_concerns_and_stands_as_it_stood(db):
    runs = write(
        [Past("1"), Past("2"), ended("1"), Past("3", status="failed"), Past("4", **SKIPPED)]
    )
    before = list(RuleRun.objects.order_by("pk").values_list("status", "code", "finished_at"))
    read()
    after = list(RuleRun.objects.order_by("pk").values_list("status", "code", "finished_at"))
    assert after == before
    orders = [queued.again(run).grant.order_id for run in runs]  # type: ignore[union-attr]
    assert orders == ["1", "2", "1", "3", "4"]
    assert not RuleRun.objects.filter(status="waiting").exists()


def test_a_purchase_keeps_the_student_of_its_first_event(db):
    dana, new_address = factories.CustomerFactory.create_batch(2)
    (_, refund) = write(
        [Past("1", facts={"customer": dana}), ended("1", facts={"customer": new_address})]
    )
    read()
    grant = Grant.objects.get()
    assert (grant.customer, grant.state) == (dana, State.ENDED)
    assert queued.again(refund).customer == new_address  # for whom it was carried out


def test_two_addresses_of_one_thinkific_user_count_together(db):
    one, other = factories.CustomerFactory.create_batch(2)
    write([Past("1", facts={"customer": one}), Past("2", facts={"customer": other})])
    for customer in (one, other):
        ThinkificUser.objects.create(
            integration=course("A").integration, customer=customer, user_id=7, fields_known={}
        )
    write([ended("2", facts={"customer": other})], at=10)
    read()
    assert [row.order_id for row in Grant.objects.stranded()] == ["1"]


def test_a_refund_that_names_no_order_of_two_is_counted_and_its_students_are_listed(db):
    facts = {"product": factories.ProductFactory.create(marketplace=main_shop())}
    write([Past("", facts=facts), Past("", facts=facts)])
    write([ended("", facts=facts)], at=10)
    read()
    assert History.objects.get().unclear == 1
    assert Grant.objects.stranded().count() == 2


def test_a_waiting_refund_that_names_no_order_of_two_is_held(db):
    facts = {"product": factories.ProductFactory.create(marketplace=main_shop())}
    write([Past("", facts=facts), Past("", facts=facts)])
    (refund,) = write([ended("", status="waiting", code="", facts=facts)], at=10)
    read()
    refund = queued.again(refund)
    assert (refund.status, refund.code, refund.grant) == ("held", "ambiguous", None)
    assert EventLog.objects.get(pk=refund.event_id).status == "held"


def test_what_waits_is_judged_by_the_ledger_when_it_is_carried_out(world):
    course = world.course()
    customer = factories.CustomerFactory.create(email="dana@example.com")
    begin(
        [
            past_run(course, customer, Past("1"), at=1),
            past_run(course, customer, Past("2"), at=2),
            past_run(course, customer, ended("1", status="waiting", code=""), at=3),
        ]
    )
    read()
    refund = world.settle()[-1]
    assert (refund.status, refund.code) == ("done", "kept")
    assert world.calls() == []


def test_who_lost_access_gets_it_back_when_a_person_says_so(world):
    course = world.course()
    customer = factories.CustomerFactory.create(email="dana@example.com")
    begin(
        [
            past_run(course, customer, Past("1"), at=1),
            past_run(course, customer, Past("2"), at=2),
            past_run(course, customer, ended("1"), at=3),
        ]
    )
    read()
    world.settle()
    assert not world.access("dana@example.com", course)
    assert retry_by_hand.retry(RuleRun.objects.stranded()) == (1, {})
    world.settle()
    assert world.access("dana@example.com", course)
    assert not Grant.objects.stranded().exists()


def test_the_student_gets_it_though_another_address_got_it_before_the_ledger(db):
    dana, payer = factories.CustomerFactory.create_batch(2)
    queued.event(dana, at=-1, order="1", trigger=BUY)
    (charged,) = write([Past("1", CHARGE, facts={"customer": payer})])
    read()
    assert Grant.objects.stranded().get().customer == dana
    assert retry_by_hand.retry(RuleRun.objects.stranded()) == (1, {})
    assert queued.again(charged).customer == dana


def test_the_overview_leads_to_those_who_may_have_lost_access(admin_client):
    write([Past("1"), Past("2"), ended("1")])
    read()
    shown = admin_client.get("/admin/").content.decode()
    assert "1 student paid and may have lost access." in shown
    address = "/admin/events/rulerun/?status__exact=stranded"
    assert address in shown
    (run,) = admin_client.get(address).context["cl"].result_list
    assert run.event.order_id == "2"
    chosen = {"action": "retry_chosen", "_selected_action": [run.pk]}
    admin_client.post(address, chosen)
    assert queued.again(run).status == "waiting"
    assert "may have lost access" not in admin_client.get("/admin/").content.decode()


def test_the_overview_says_how_far_the_history_is_read(admin_client, monkeypatch):
    write([Past("1"), ended("1")])
    says = "The history is being read: 0 of 2 events."
    assert says in admin_client.get("/admin/").content.decode()
    monkeypatch.setattr(history, "STEP", 1)
    history.step()
    shown = admin_client.get("/admin/").content.decode()
    assert "The history is being read: 1 of 2 events." in shown
    assert "may have lost access" not in shown  # the refund is read next
    read()
    assert "The history is being read" not in admin_client.get("/admin/").content.decode()


def test_what_comes_in_meanwhile_is_stored_and_decided_after(real_shop):
    rule = real_shop.rule("product_purchased")
    write([Past("1"), Past("2")])
    assert real_shop.post(changed("10_product", order__id=77)).status_code == 200
    assert scheduler.work_due()
    tasks.work()
    assert Delivery.objects.filter(state="new").count() == 1  # the first task only reads
    assert History.objects.get().done_at is not None
    tasks.work()
    assert Grant.objects.get(order_id="77").state == State.ACTIVE
    assert RuleRun.objects.get(rule=rule).status == "waiting"


def test_a_step_that_is_broken_off_is_done_again(db, monkeypatch):
    monkeypatch.setattr(history, "STEP", 2)
    write([Past(str(number)) for number in range(5)])
    assert history.step() == 2
    with monkeypatch.context() as patched:
        patched.setattr(history, "_name_grants", interrupted)
        with pytest.raises(KeyboardInterrupt):
            history.step()
    assert (Grant.objects.count(), History.objects.get().read) == (2, 2)
    read()
    assert sorted(Grant.objects.values_list("order_id", flat=True)) == list("01234")
    assert (History.objects.get().read, RuleRun.objects.filter(grant=None).count()) == (5, 0)


def test_an_event_that_breaks_our_code_is_left_out_and_counted(db, monkeypatch):
    write([Past("1"), Past("2"), Past("3")])
    decide = history._decide

    def broken(decisions: Any, run: RuleRun, log_of: Any) -> None:
        if run.event.order_id == "2":
            raise LookupError
        decide(decisions, run, log_of)

    monkeypatch.setattr(history, "_decide", broken)
    read()
    assert sorted(Grant.objects.values_list("order_id", flat=True)) == ["1", "3"]
    assert (History.objects.get().read, History.objects.get().unclear) == (3, 1)


def test_only_one_worker_reads_at_a_time(transactional_db):
    write([Past(str(number)) for number in range(8)])

    def some() -> int:
        return sum(history.step() for _ in range(8))

    queued.at_once(some, some)
    read()
    assert Grant.objects.count() == 8


def test_nothing_is_decided_by_a_person_before_all_is_read(db):
    (failed,) = write([Past("1", status="failed")])
    assert retry_by_hand.retry([failed]) == (0, {str(history.WAIT): 1})
    assert rerun.obstacles([failed.event]) == {failed.event_id: str(history.WAIT)}
    nameless = queued.event(None, order="2")
    queued.run(course("A"), None, of=nameless, status="failed")
    RuleRun.objects.filter(event=nameless).update(customer=None)
    with pytest.raises(ValueError, match="still reading the history"):
        email_correction.give_email(nameless, "dana@example.com", by="Eva")
    read()
    assert retry_by_hand.retry([queued.again(failed)]) == (1, {})


@pytest.mark.parametrize("what", ["give", "end", "move", "enter"])
def test_nothing_is_done_by_hand_before_all_is_read(db, what: str):
    (run,) = write([Past("1")])
    dana, author = run.customer, by_hand.Author("Eva", "She asked for it")
    assert dana
    order = entered_order.Order(factories.ProductFactory.create(), "2", "dana@example.com")
    do: dict[str, Callable[[], object]] = {
        "give": lambda: by_hand.give(dana, course("B"), author),
        "end": lambda: by_hand.end(dana, f"{run.integration_id} course:501", author),
        "move": lambda: by_hand.move(dana, "new@example.com", author),
        "enter": lambda: entered_order.enter(order, author),
    }
    with pytest.raises(ValueError, match="still reading the history"):
        do[what]()
    assert EventLog.objects.count() == 1
    read()
    do[what]()
    assert EventLog.objects.count() > 1


def test_what_is_dismissed_after_it_was_read_is_waived(db):
    (failed,) = write([Past("1", status="failed")])
    read()
    retry_by_hand.dismiss([failed], by="Eva")  # as it was when the page was shown
    assert Grant.objects.get().state == State.WAIVED


def test_a_refund_of_a_sale_that_was_removed_before_the_ledger_ends_access_as_before(shop):
    shop.rule("product_refunded", action=END)
    long_ago = timezone.now() - timedelta(days=500)
    type(shop.marketplace).objects.update(created_at=long_ago - timedelta(days=1))
    History.objects.create(pk=1, events=9, done_at=timezone.now())
    refund = changed("20_product_refunded", order__id=5)
    refund["order"]["date"] = f"{long_ago:%Y-%m-%d %H:%M:%S}"
    shop.sell(refund)
    run = RuleRun.objects.get()
    assert (run.status, run.code) == ("waiting", "not_started")


# The stories


def main_shop() -> Marketplace:
    return Marketplace.objects.get_or_create(name="Main shop")[0]


def course(name: str) -> Destination:
    """Course A, course B, or the bundle of both."""
    found = Destination.objects.filter(name=name).first()
    if found is not None:
        return found
    a = factories.DestinationFactory.create(name="A", external_id=501)
    factories.DestinationFactory.create(name="B", external_id=502, integration=a.integration)
    factories.DestinationFactory.create(
        name="bundle",
        external_id=7,
        kind="bundle",
        course_ids=[501, 502],
        integration=a.integration,
    )
    return Destination.objects.get(name=name)


def write(story: list[Past], *, at: int = 0) -> list[RuleRun]:
    """The story's events, received one after the other, and not read yet."""
    customer = Customer.objects.first() or factories.CustomerFactory.create()
    return begin(
        [past_run(course(past.course), customer, past, at=at + n) for n, past in enumerate(story)]
    )


def begin(runs: list[RuleRun]) -> list[RuleRun]:
    """The ledger begins after these."""
    History.objects.update_or_create(pk=1, defaults={"events": EventLog.objects.count()})
    return runs


def past_run(destination: Destination, customer: Customer, past: Past, *, at: int) -> RuleRun:
    facts = dict(past.facts)
    customer = facts.pop("customer", customer)
    product: Product | None = facts.pop("product", None)
    event = queued.event(customer, at=at, order=past.order, trigger=past.trigger, product=product)
    finished = queued.START + timedelta(seconds=past.done_at or at)
    return queued.run(
        destination,
        customer,
        of=event,
        action=past.action or GIVE,
        status=past.status,
        code=past.code or "enrolled",
        started_at=facts.pop("started_at", finished),
        finished_at=None if past.status in {"waiting", "held"} else finished,
        **facts,
    )


def read() -> None:
    while history.step():
        pass
    assert history.unread() is None


def state(row: Grant) -> str:
    if row.is_active:
        return OPEN if row.seen_at else OWED
    return str(row.state)


def interrupted(runs: Any) -> None:
    raise KeyboardInterrupt
