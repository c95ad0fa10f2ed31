"""What a person decided about a refunded buyer is told with a name, everywhere the same."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.access import by_hand, holdings
from events.access.by_hand import Author
from events.models import EventLog, Grant, RuleRun
from events.reports.changed_rules import refunded
from events.reports.customers import customer_access
from integrations.audit import Act
from integrations.models import AuditEntry, Destination
from integrations.sentences import LONG, format_day
from tests.support.flo import (
    ENDS,
    GIVES,
    REASON,
    SOLD,
    end_by_hand,
    end_by_list,
    flo,
    give_back,
    page_of,
    refund,
    sell,
    today,
    undo,
)
from tests.support.pages import markup, said, signed_in, words
from tests.support.world import World

pytestmark = pytest.mark.first_database


@pytest.fixture
def manager(db) -> Client:
    return signed_in(roles.MANAGER, first_name="Max")


@pytest.fixture
def ink(world: World) -> Destination:
    """Ink, which no rule ends. Flo bought it and was refunded."""
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    return course


WAYS_BACK = [(end_by_list, undo), (end_by_list, give_back), (end_by_hand, give_back)]


@pytest.mark.parametrize(("end", "back"), WAYS_BACK)
def test_giving_back_after_a_refund_is_a_decision_to_let_the_buyer_keep_it(
    manager, world, ink, end, back
):
    end(manager, world)
    assert not world.access("flo@example.com", ink)
    back(manager, world)
    assert world.access("flo@example.com", ink)
    assert refunded.refunded_with_access() == []
    why = f" ({REASON})" if back is give_back else ""
    decision = f"Max gave the buyer Ink back on {today()}{why}"
    text = words(manager.get(page_of(flo())))
    assert f"though order 1180 was refunded on {today()}." in text
    assert f"Max ended it on {today()}. {decision}." in text
    assert "If the customer should not keep it" not in text
    assert "was refunded and still has" not in words(manager.get(reverse("admin:index")))
    assert decision in words(manager.get(reverse("admin:refunded")))
    for page in (page_of(refund()), reverse("admin:events_eventlog_changelist")):
        assert "Kept on purpose" in words(manager.get(page))
    # A rule that is added later does not end it; a later refund does.
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    manager.post(reverse("admin:events_eventlog_do_rerun", args=[refund().pk]))
    world.settle()
    assert world.access("flo@example.com", ink)
    sell(world, "20_product", refund_transaction_id="re_2")
    assert not world.access("flo@example.com", ink)


def test_what_was_given_back_without_a_refund_is_as_before(manager, world):
    course = world.course("Ink")
    world.rule("product_purchased", GIVES, course, product=SOLD)
    sell(world, "10_product")
    end_by_hand(manager, world)
    give_back(manager, world)
    grant = Grant.objects.get()
    assert (grant.is_active, grant.because, grant.kept_at) == (True, "by_hand", None)


@pytest.mark.parametrize("ruled", [True, False])
@pytest.mark.parametrize("end", [end_by_list, end_by_hand])
def test_the_refund_of_a_buyer_whose_access_a_person_ended_says_so_and_offers_no_rerun(
    manager, world, ink, end, ruled
):
    if ruled:
        world.rule("product_refunded", ENDS, ink, product=SOLD)
    end(manager, world)
    for page in (page_of(refund()), page_of(flo())):
        shown = manager.get(page)
        told = f"Max ended it on {today()}, after the refund of order 1180 on {today()}."
        assert told in words(shown)
        assert "Give it back</a>" in shown.content.decode()
    page = words(manager.get(page_of(refund())))
    assert "Run the rules again" not in page
    # Without a rule, one is offered for the next buyers.
    offered = not ruled and end is end_by_hand
    assert ("No rule matched" in page) == ("New rule for this product" in page) == offered
    answer = manager.post(
        reverse("admin:events_eventlog_do_rerun", args=[refund().pk]), follow=True
    )
    left_out = "1 event left out: nothing that the purchase gave is left to end"
    assert any(left_out in text for text in said(answer))
    assert not RuleRun.objects.filter(status="skipped").exists()


@pytest.mark.parametrize("end", [end_by_list, end_by_hand])
def test_the_letter_names_the_refund_however_a_person_ended_it(manager, world, ink, end):
    end(manager, world)
    reply = customer_access.describe(flo()).reply
    assert "Your access to Ink ended with the refund of order 1180 on" in reply


def test_the_letter_writes_every_day_in_full(manager, world, ink):
    end_by_list(manager, world)
    day = format_day(timezone.localdate(), LONG)
    reply = customer_access.describe(flo()).reply
    assert f"ended with the refund of order 1180 on {day}." in reply


def three_days_ago() -> str:
    """Put all that happened so far three days back, and return the day as letters write it."""
    back = timedelta(days=3)
    EventLog.objects.update(received_at=F("received_at") - back)
    Grant.objects.update(opened_at=F("opened_at") - back, decided_at=F("decided_at") - back)
    RuleRun.objects.update(received_at=F("received_at") - back, finished_at=F("finished_at") - back)
    return format_day(timezone.localdate() - back, LONG)


@pytest.mark.parametrize("end", [end_by_list, end_by_hand])
def test_the_letter_names_the_day_on_which_a_person_ended_it_after_the_refund(
    manager, world, ink, end
):
    refunded_on, today_long = three_days_ago(), format_day(timezone.localdate(), LONG)
    end(manager, world)
    told = f"Your access to Ink ended on {today_long}, after the refund of order 1180 on "
    reply = customer_access.describe(flo()).reply
    assert f"{told}{refunded_on}." in reply
    assert "ended with" not in reply


def test_the_letter_names_the_product_whose_order_was_refunded(manager, world, ink):
    end_by_list(manager, world)
    reply = customer_access.describe(flo()).reply
    assert "The order was for Example Course One." in reply
    Destination.objects.update(name="Course One")
    Grant.objects.update(name="Course One")
    assert "The order was for" not in customer_access.describe(flo()).reply


def test_the_customers_page_offers_to_let_the_buyer_keep_it_with_a_reason(manager, world, ink):
    shown = markup(manager.get(page_of(flo())))
    assert "End access</a>" in shown
    (link,) = re.findall(r'href="([^"]+)">Let the buyer keep it<', shown)
    asked = dict(parse_qsl(urlsplit(unescape(link)).query))
    assert "Reason (optional)" in words(manager.get(unescape(link)))
    answer = manager.post(
        reverse("admin:keep-access"), asked | {"reason": "A friend of Mia"}, follow=True
    )
    assert said(answer) == ["The buyer keeps Ink."]
    decision = f"Max let the buyer keep Ink on {today()} (A friend of Mia)"
    assert f"{decision}." in words(answer)
    assert "Let the buyer keep it</a>" not in markup(answer)
    assert decision in words(manager.get(reverse("admin:refunded")))
    entry = AuditEntry.objects.get(act="refunded_kept")
    assert (entry.number, entry.note) == (str(refund().pk), "A friend of Mia")
    changes = words(manager.get(reverse("admin:integrations_auditentry_changelist")))
    assert "A friend of Mia" in changes
    again = manager.get(unescape(link))
    assert "This access was given back since, or somebody decided about it." in words(again)


def test_a_reason_can_be_left_out_and_noted_for_the_chosen(manager, world, ink):
    (found,) = refunded.refunded_with_access()
    sent = {"chosen": found.event.pk, "keep": "1", "reason": "All of   May's"}
    manager.post(reverse("admin:refunded"), sent)
    assert Grant.objects.get().kept_note == "All of May's"
    manager.post(reverse("admin:refunded"), {"again": found.event.pk})
    assert Grant.objects.get().kept_note == ""
    manager.post(reverse("admin:refunded"), {"chosen": found.event.pk, "keep": "1"})
    assert f"Max let the buyer keep Ink on {today()}." in words(manager.get(page_of(flo())))


def test_a_canceled_buyer_with_one_course_is_offered_both_and_not_as_a_refunded_one(manager, world):
    world.rule("product_purchased", GIVES, world.course("Ink"), product=SOLD)
    sell(world, "10_product")
    world.sell(
        "10_product", "subscription_canceled", order__id=1180, customer__email="flo@example.com"
    )
    world.settle()
    shown = markup(manager.get(page_of(flo())))
    assert "End access</a>" in shown
    assert "Let the buyer keep it</a>" in shown
    (address,) = re.findall(r'href="([^"]*/keep-access/[^"]*)"', shown)
    address = unescape(address)
    form = words(manager.get(address))
    assert "The purchase was canceled and the buyer keeps the access." in form
    assert "The purchase was refunded" not in form
    asked = parse_qs(urlsplit(address).query)
    kept = manager.post(urlsplit(address).path, asked | {"reason": ""}, follow=True)
    assert said(kept) == ["The buyer keeps Ink."]
    assert Grant.objects.get().kept_at
    assert AuditEntry.objects.latest("pk").act == Act.CANCELED_KEPT
    assert "Let the buyer keep it</a>" not in markup(manager.get(page_of(flo())))


def test_the_ending_of_the_chosen_stands_below_the_refund(manager, world, ink):
    end_by_list(manager, world)
    timeline = words(manager.get(page_of(flo()))).partition("Everything that happened")[2]
    order = ["Product Refunded", "End what was refunded.", "Product Purchased"]
    places = [timeline.index(each) for each in order]
    assert places == sorted(places)
    assert "End what was refunded." in words(manager.get(page_of(refund())))


def test_who_ended_it_after_its_rule_had_changed_is_named(manager, world, ink):
    EventLog.objects.filter(pk=refund().pk).delete()
    world.rule("product_purchased", GIVES, world.course("Faces"), product=SOLD)
    rule = RuleRun.objects.get().rule
    assert rule
    rule.destination = world.course("Wash")
    rule.save()
    bought = EventLog.objects.get()
    address = f"{reverse('admin:given-by-rule')}?rule={rule.pk}"
    manager.post(address, {"chosen": bought.pk})
    world.settle()
    text = words(manager.get(page_of(flo())))
    day = format_day(bought.received_at)
    assert f"no access to Ink: Max ended it on {day}, after its rule had changed." in text
    reply = customer_access.describe(flo()).reply
    day = format_day(bought.received_at, LONG)
    ended = f"Your access to Ink ended on {day}: {bought.product} no longer includes it."
    assert ended in reply
    assert "You have access to Wash" in reply


def test_nobody_is_ticked_before_a_person_chooses_among_several(manager, world, ink):
    def boxes() -> list[str]:
        page = manager.get(reverse("admin:refunded")).content.decode()
        assert '<th scope="col">Purchase</th>' in page
        return re.findall(r'<input type="checkbox" name="chosen"[^>]*>', page)

    assert ["checked" in box for box in boxes()] == [True]
    for what in ("10_product", "20_product"):
        world.sell(what, order__id=1181, customer__email="mia@example.com", product__id=SOLD)
    world.settle()
    assert ["checked" in box for box in boxes()] == [False, False]


def test_who_gave_it_back_by_hand_is_named_in_the_reason_for_leaving_out(manager, world, ink):
    (held,) = holdings.of_customer(flo())
    ended = by_hand.end(flo(), held.key, Author("mia@school.example", "Refunded"))
    world.settle()
    by_hand.give_back(ended.runs.get(), Author("rita@school.example", "She wrote"))
    world.settle()
    world.rule("product_refunded", ENDS, ink, product=SOLD)
    simulated = words(manager.get(reverse("admin:simulate"), {"event": refund().pk}))
    assert f"gave the buyer Ink back on {today()} (She wrote)" in simulated


def test_a_new_rule_leads_to_those_whose_refund_ended_something_else(manager, world):
    ink, faces = world.course("Ink"), world.course("Faces")
    for course in (ink, faces):
        world.rule("product_purchased", GIVES, course, product=SOLD)
    world.rule("product_refunded", ENDS, faces, product=SOLD)
    for what in ("10_product", "20_product"):
        sell(world, what)
    rule = world.rule("product_refunded", ENDS, ink, product=SOLD)
    told = "1 refunded buyer still has Ink. See and end it"
    added = manager.get(reverse("admin:new-rule-added"), {"rule": rule.pk})
    page = manager.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    targets = set()
    for shown in (added, page):
        assert told in words(shown)
        found = re.findall(r'href="([^"]+)"[^>]*>See and end it<', shown.content.decode())
        targets |= {urlsplit(each).path for each in found}
    assert targets == {reverse("admin:refunded")}
    manager.post(reverse("admin:earlier"), {"rule": rule.pk})
    world.settle()
    assert not world.access("flo@example.com", ink)
    assert "Give it back</a>" in manager.get(page_of(flo())).content.decode()
    again = manager.get(reverse("admin:rules_rule_change", args=[rule.pk]))
    assert "See and end it" not in words(again)


def test_rules_for_every_product_with_nothing_to_end_are_folded(manager, world):
    courses = [world.course(name) for name in ("Ink", "Oil", "Clay")]
    world.rule("product_purchased", GIVES, courses[0], product=SOLD)
    for course in courses:
        world.rule("product_refunded", ENDS, course)
    for what in ("10_product", "20_product"):
        sell(world, what)
    page = markup(manager.get(page_of(flo())))
    history = page.partition('class="timeline"')[2]
    before, fold = history.split("<summary>2 rules had nothing to end</summary>")
    assert ("Ink" in before, "Oil" in before) == (True, False)
    assert fold.partition("</details>")[0].count("so nothing had to end") == 2


KEPT = "Refunded buyers who keep their access on purpose"


def test_the_overview_leads_to_who_is_kept_on_purpose_also_when_nothing_is_left_to_decide(
    manager, world, ink
):
    overview = reverse("admin:index")
    assert KEPT not in words(manager.get(overview))
    (found,) = refunded.refunded_with_access()
    manager.post(reverse("admin:refunded"), {"chosen": found.event.pk, "keep": "1"})
    page = manager.get(overview)
    assert "refunded and still has" not in words(page)
    (link,) = re.findall(rf'href="([^"]+)">{KEPT}<', markup(page))
    assert "Ask about it again" in words(manager.get(unescape(link)))
    assert KEPT not in words(signed_in(roles.VIEWER).get(overview))
    manager.post(reverse("admin:refunded"), {"again": found.event.pk})
    assert KEPT not in words(manager.get(overview))


def test_the_customers_lead_to_the_refunded_buyers_at_any_time(manager):
    customers = reverse("admin:integrations_customer_changelist")
    shown = markup(manager.get(customers))
    (link,) = re.findall(r'href="([^"]+)">Refunded buyers<', shown)
    assert link.startswith(reverse("admin:refunded"))
    assert "Nobody is left to decide about" in words(manager.get(unescape(link)))
    assert "Refunded buyers" not in words(signed_in(roles.VIEWER).get(customers))
