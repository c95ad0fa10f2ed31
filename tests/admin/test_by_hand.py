"""What Support does by hand on a customer's page, and how that page and the log show it."""

import re
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.staff import roles
from events.access import holdings
from events.models import EventLog, Grant, History, RuleRun
from events.reports import review
from events.reports.changed_rules import left_behind_summary
from events.reports.owed import promise
from integrations.models import AuditEntry, Customer, Destination, Integration, Product
from rules.models import Rule
from tests.support.pages import (
    CUSTOMERS,
    LOG,
    client_of,
    errors,
    markup,
    person,
    press,
    rows,
    said,
    signed_in,
    words,
)

pytestmark = pytest.mark.first_database

DANA = "dana.whitfield@example.com"


@pytest.fixture
def support(place) -> Client:
    return signed_in(roles.SUPPORT, email="mia@example.com")


@pytest.fixture
def dana(place) -> Customer:
    return Customer.objects.get(email=DANA)


def page_of(customer: Customer) -> str:
    return reverse("admin:integrations_customer_change", args=[customer.pk])


def html(answer: Any) -> str:
    text: str = markup(answer)
    return text


def fill_in(client: Client, page: str, customer: Customer, **answers: Any) -> Any:
    """Fill in one of the forms, and press its button; the page that follows."""
    data = {"customer": customer.pk, "purchase": "gift", "reason": "Lost her receipt"} | answers
    return client.post(reverse(f"admin:{page}"), data, follow=True)


def change_day(client: Client, customer: Customer, until: date) -> Any:
    """Choose another last day for the one access that has one."""
    run = RuleRun.objects.delayed().get()
    return fill_in(client, "change-last-day", customer, run=run.pk, until=str(until))


def course(name: str = "Perspective") -> Destination:
    return Destination.objects.get(name=name)


def test_the_customers_page_leads_to_each_form_for_those_who_may(support, place, dana):
    shown = markup(support.get(page_of(dana)))
    assert f"{reverse('admin:give-access')}?customer={dana.pk}" in shown
    viewer = markup(signed_in(roles.VIEWER).get(page_of(dana)))
    assert reverse("admin:give-access") not in viewer


def test_access_is_given_for_a_purchase_without_a_rule_and_ends_with_it(support, place):
    event = place.world.sell(
        customer__email="wanda@example.com", product__id=4711, order__id=700501
    )
    wanda = event.customer
    form = support.get(reverse("admin:give-access"), {"customer": wanda.pk})
    assert "(order 700501) of" in words(form)
    assert "Refunds and cancellations do not end it" not in words(form)
    assert re.search(rf'value="{event.pk}"[^>]* checked', html(form))
    answer = fill_in(
        support, "give-access", wanda, purchase=event.pk, destination=course().pk, until=""
    )
    assert said(answer)[0] == "Perspective is given to wanda@example.com now."
    place.world.settle()
    shown = words(support.get(page_of(wanda)))
    assert "through order 700501" in shown
    assert "through order 700501" in words(
        support.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    )
    # No rule ever gave it, so none that did was deleted.
    assert left_behind_summary.summarize().customers == 0
    assert "no rule gives anything" not in shown
    assert not review.gave_nothing().filter(pk=event.pk).exists()
    # It is offered as long as it is paid for: it may lack a second course.
    assert "(order 700501) of" in words(
        support.get(reverse("admin:give-access"), {"customer": wanda.pk})
    )
    assert promise.owed(wanda) == []
    grant = Grant.objects.get(customer=wanda)
    assert (grant.source, grant.order_id) == (Grant.Source.PURCHASE, "700501")


def test_support_learns_that_what_waits_for_a_key_need_not_be_given_by_hand(support, place):
    site = course().integration
    place.world.school.change_key("another")
    event = place.world.sell(customer__email="oz@example.com", order__id=700503)
    place.world.settle()
    oz, name = event.customer, event.runs.get().destination_name
    shown = words(support.get(page_of(oz)))
    assert "Ask Noor or Mia to enter the key. Access that is given by hand waits for it" in shown
    assert "Edit the integration" not in shown
    for told in ("Ask a manager", "Ask Noor"):
        assert told not in words(signed_in(roles.MANAGER).get(page_of(oz)))
    goes_on = f"continues as soon as the key of {site} works again or another one is entered."
    form = words(support.get(reverse("admin:give-access"), {"customer": oz.pk}))
    assert "(order 700503) of" in form
    assert f"gives {name} already: its action {goes_on} Giving it by hand does not help" in form
    answer = fill_in(support, "give-access", oz, destination=course("Perspective").pk, until="")
    assert said(answer)[0] == f"Perspective will be given to oz@example.com. This {goes_on}"


@pytest.mark.parametrize("off", [False, True], ids=["key refused", "turned off"])
def test_before_access_is_given_by_hand_page_and_form_say_that_it_waits_for_the_school(
    support, place, off
):
    site = course().integration
    Integration.objects.update(connection=Integration.Connection.CONNECTED)
    wanda = place.world.sell(
        customer__email="wanda@example.com", product__id=4711, order__id=700501
    ).customer
    Rule.objects.filter(product=None).delete()
    pages = [
        page_of(wanda),
        f"{reverse('admin:give-access')}?customer={wanda.pk}",
        reverse("admin:give-to-anyone"),
    ]
    for page in pages:
        assert "given there by hand" not in words(support.get(page))
    if off:
        Integration.objects.filter(pk=site.pk).update(enabled=False)
    else:
        Integration.objects.filter(pk=site.pk).update(connection=Integration.Connection.REFUSED)
    closed = f"{site} is turned off." if off else f"Thinkific rejects the key of {site}."
    for page in pages:
        told = f"{closed} Access that is given there by hand waits, too."
        assert told in words(support.get(page))


@pytest.mark.parametrize("off", [False, True], ids=["key refused", "turned off"])
def test_where_access_waits_for_the_site_the_page_does_not_lead_with_giving_it(place, off):
    manager = signed_in(roles.MANAGER)
    site = course().integration
    usual = place.world.sell(customer__email="una@example.com", order__id=700504)
    place.world.settle()
    tools = html(manager.get(page_of(usual.customer)))
    assert tools.index(">Give access</a>") < tools.index(">End access</a>")
    if off:
        Integration.objects.filter(pk=site.pk).update(enabled=False)
    else:
        place.world.school.change_key("another")
    event = place.world.sell(customer__email="oz@example.com", order__id=700503)
    place.world.settle()
    page = manager.get(page_of(event.customer))
    assert "Access that is given by hand waits for it, too." in words(page)
    tools = html(page)
    assert tools.index(">End access</a>") < tools.index(">Give access</a>")
    assert tools.index(">More</button>") < tools.index(">Give access</a>")


def test_the_form_says_whether_a_rule_ends_access_on_a_refund(support, place):
    world = place.world
    event = world.sell(customer__email="wanda@example.com", product__id=4711, order__id=700501)

    def form(client: Client) -> str:
        return words(client.get(reverse("admin:give-access"), {"customer": event.customer.pk}))

    manager = signed_in(roles.MANAGER)
    shown = form(manager)
    assert re.search(r"\(order 700501\) of .+: no rule ends access on a refund yet\.", shown)
    assert "New rule for a refund of " in shown
    assert "New rule" not in form(support)
    rule = world.rule("product_refunded", "expire_course_enrollment", course(), product="4711")
    shown = form(manager)
    assert re.search(
        r"of .+: a refund ends access to Perspective, by a rule\. Any other course that you give",
        shown,
    )
    assert "New rule" not in shown
    Rule.objects.filter(pk=rule.pk).update(enabled=False)
    assert "no rule ends access on a refund yet" in form(manager)


def test_who_comes_from_a_mistyped_address_moves_with_the_first_button(support, dana):
    def first(address: str) -> str:
        buttons = html(support.get(address)).partition('class="page-tools"')[2]
        links = re.findall(r'href="(/admin/[a-z-]+/\?customer=[^"]+)"', buttons)
        return unescape(links[0])

    assert first(page_of(dana)).startswith(reverse("admin:give-access"))
    moves = first(f"{page_of(dana)}?email=dana@gmail.example")
    assert moves.startswith(reverse("admin:move-access"))
    assert moves.endswith("email=dana%40gmail.example")


def test_a_gift_leaves_the_purchase_as_it_is(support, place):
    event = place.world.sell(
        customer__email="wanda@example.com", product__id=4711, order__id=700501
    )
    answer = fill_in(support, "give-access", event.customer, purchase="", destination=course().pk)
    assert "Choose a purchase, or that it is a gift." in errors(answer)
    assert not Grant.objects.filter(customer=event.customer).exists()
    fill_in(support, "give-access", event.customer, destination=course().pk, until="")
    assert Grant.objects.get(customer=event.customer).source == Grant.Source.HAND
    assert review.gave_nothing().filter(pk=event.pk).exists()


def test_access_is_given_for_no_purchase_of_another_customer(support, place, dana):
    event = place.world.sell(
        customer__email="wanda@example.com", product__id=4711, order__id=700501
    )
    place.world.sell(customer__email=DANA, product__id=4711, order__id=700502)
    answer = fill_in(
        support, "give-access", dana, purchase=event.pk, destination=course().pk, until=""
    )
    assert "Select a valid choice" in errors(answer)
    assert not Grant.objects.filter(order_id="700501").exists()


def test_access_is_given_and_stands_in_the_log_with_author_and_reason(support, dana):
    answer = fill_in(support, "give-access", dana, destination=course().pk)
    assert said(answer) == [f"Perspective is given to {DANA} now."]
    run = RuleRun.objects.latest("pk")
    event = run.event
    assert (run.action, run.status, run.customer) == ("create_course_enrollment", "waiting", dana)
    assert Grant.objects.get(event=event).source == "hand"
    author = event.author
    assert f"Access given by hand Waiting {author}: Lost her receipt" in words(answer)
    page = support.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    assert f"by {author} Reason Lost her receipt" in words(page)
    for missing in ("Received from SamCart", "As received", "Download JSON", "Simulate with"):
        assert missing not in words(page)
    assert "Run the rules again" not in words(page)
    assert "Access given by hand" in words(support.get(reverse(LOG)))


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"reason": " "}, "This field is required."),
        ({"destination": ""}, "Choose a course or bundle."),
        ({"destination": "0"}, "Select a valid choice."),
    ],
)
def test_access_is_not_given_without_a_course_and_a_reason(support, dana, answers, says):
    before = EventLog.objects.count()
    answer = fill_in(support, "give-access", dana, **({"destination": course().pk} | answers))
    assert says in errors(answer)
    assert EventLog.objects.count() == before


def test_a_form_that_is_refused_keeps_what_was_chosen(support, dana):
    fill_in(support, "give-access", dana, destination=course().pk)
    again = fill_in(support, "give-access", dana, destination=course().pk)
    assert "This customer was given Perspective by hand before." in errors(again)
    shown = markup(again)
    assert f'value="{course().pk}" id="d{course().pk}" required checked' in shown
    assert "Lost her receipt</textarea>" in shown


def test_courses_and_bundles_are_found_by_a_part_of_the_name(support, dana):
    found = support.get(reverse("admin:give-access"), {"customer": dana.pk, "q": "drawing"})
    assert "Drawing Bundle Bundle" in words(found)
    assert "Drawing Foundations Course" in words(found)
    assert "Perspective" not in words(found)
    none = support.get(reverse("admin:give-access"), {"customer": dana.pk, "q": "zzz"})
    assert "None of that name." in words(none)


@pytest.mark.parametrize("page", ["give-access", "give-to-anyone"])
@pytest.mark.parametrize("button", ["find", "refresh"])
def test_what_was_entered_stays_while_a_course_is_looked_for(place, dana, page, button):
    manager = signed_in(roles.MANAGER)
    typed = {"email": "friend@example", "first_name": "Ann", "last_name": "Lee"}
    both = {"reason": "A gift", "until": "2999-01-01", "destination": course().pk, "q": "drawing"}
    data = {"customer": dana.pk, button: "1"} | both | typed
    before = EventLog.objects.count()
    shown = html(manager.post(reverse(f"admin:{page}"), data))
    assert "Drawing Foundations" in shown
    assert f'value="{course().pk}" id="d{course().pk}" required checked' in shown
    assert "A gift</textarea>" in shown
    kept = ["2999-01-01", "drawing", *(typed.values() if page == "give-to-anyone" else ())]
    assert [value for value in kept if f'value="{value}"' not in shown] == []
    assert EventLog.objects.count() == before


def test_a_gift_that_fails_leads_back_to_no_customer_who_was_not_added(support, dana):
    """It fails after the customer is added: nothing is decided while the history is read."""
    History.objects.create(pk=1, events=9)
    new = {"email": "ann@example.com", "destination": course().pk}
    failed = fill_in(support, "give-to-anyone", dana, **new)
    assert "Admit is still reading the history" in words(failed)
    assert not Customer.objects.filter(email="ann@example.com").exists()
    links = set(re.findall(r'href="(/admin/integrations/customer/[^"]*)"', html(failed)))
    assert {link: support.get(unescape(link)).status_code for link in links} == {
        reverse(CUSTOMERS): 200
    }


def test_what_is_wrong_is_said_first_and_leads_to_its_field(support, dana):
    page = html(fill_in(support, "give-to-anyone", dana, email="", reason="", destination=""))
    (first,) = re.findall(r'<div class="errornote".*?</div>', page, re.DOTALL)
    assert re.findall(r'<li><a href="#(\w+)">([^<]+)</a>: ([^<]+)</li>', first) == [
        ("id_email", "E-mail", "This field is required."),
        ("id_destination", "Course or bundle", "Choose a course or bundle."),
        ("id_reason", "Reason", "This field is required."),
    ]
    assert page.index("errornote") < page.index('id="id_email"')
    for name in ("id_email", "id_destination", "id_reason"):
        assert f'id="{name}"' in page


@pytest.mark.parametrize("customer", ["", "0", "x", "9" * 30])
def test_an_odd_address_leads_to_the_customers(support, customer):
    answer = support.get(reverse("admin:give-access"), {"customer": customer}, follow=True)
    assert said(answer) == [
        "This customer no longer exists. Search for the e-mail address under Customers."
    ]


def test_the_only_course_of_a_customer_is_chosen_already_when_it_is_ended(support, place):
    friend = Customer.objects.create(email="friend@example.com")
    fill_in(support, "give-access", friend, destination=course().pk)
    page = support.get(reverse("admin:end-access"), {"customer": friend.pk}).content.decode()
    assert "no matter what gave it. A new purchase opens it again" in page
    assert "later payments" not in page
    assert re.search(r'name="holding"[^>]* checked', page)


def test_access_is_ended_by_choosing_among_what_the_customer_has(support, dana):
    fill_in(support, "give-access", dana, destination=course().pk)
    page = support.get(reverse("admin:end-access"), {"customer": dana.pk})
    assert "later payments for the same purchase do not open it again" in words(page)
    assert "Perspective on Art Academy (access given by hand)" in words(page)
    (held,) = [each for each in holdings.of_customer(dana) if each.grants[0].name == "Perspective"]
    answer = fill_in(support, "end-access", dana, holding=held.key)
    assert said(answer) == ["The access to Perspective is being ended."]
    run = RuleRun.objects.latest("pk")
    assert (run.action, run.event.by_hand) == ("expire_course_enrollment", "end")
    assert not Grant.objects.active().filter(customer=dana, name="Perspective").exists()
    assert "Select a valid choice." in errors(
        fill_in(support, "end-access", dana, holding=held.key)
    )
    assert "Choose a course or bundle." in errors(fill_in(support, "end-access", dana))


def test_access_is_given_until_a_day_that_can_be_moved_and_dropped(support, place, dana):
    page = words(support.get(reverse("admin:give-access"), {"customer": dana.pk}))
    assert f"The access ends at the end of that day ({settings.TIME_ZONE})." in page
    until = timezone.localdate() + timedelta(days=9)
    answer = fill_in(support, "give-access", dana, destination=course().pk, until=str(until))
    assert said(answer) == [f"Perspective is given to {DANA} now, until {until.day} {until:%b}."]
    place.world.settle()
    shown = support.get(page_of(dana)).content.decode()
    assert "End it now" in shown
    assert "Access given by hand Succeeded" in words(support.get(page_of(dana)))
    (link,) = re.findall(r'<a href="([^"]+)" class="button ">Change the last day</a>', shown)
    page = support.get(unescape(link))
    year = f"{until.day} {until:%b %Y}"
    assert f"Perspective on Art Academy ends on {year}. Only this day changes." in words(page)
    assert f'name="until" value="{until}"' in html(page)
    assert "Change the day" in words(page)
    assert "Give access" not in words(page)
    same = change_day(support, dana, until)
    assert "This is its last day already. Choose another." in errors(same)
    later = until + timedelta(days=9)
    answer = change_day(support, dana, later)
    assert said(answer) == [f"The last day of Perspective is {later.day} {later:%b} now."]
    owner = client_of(person(is_superuser=True, email="ada@example.com"))
    line = words(owner.get(reverse("admin:integrations_auditentry_changelist")))
    assert "Changed the last day of an access" in line
    assert f"Access: Perspective on Art Academy Ends: {year} → {later.day} {later:%b %Y}" in line
    assert f"Access: Perspective on Art Academy Ends: {year} Lost her receipt" in line
    pending = RuleRun.objects.pending().get()
    assert said(press(support, pending, "keep")) == ["The access to Perspective stays."]
    assert "End it now" not in words(support.get(page_of(dana)))


@pytest.mark.parametrize(
    ("until", "says"), [("soon", "Enter a valid date."), ("2020-01-01", "1 Jan 2020 is over.")]
)
def test_a_last_day_that_cannot_be_is_refused(support, dana, until, says):
    answer = fill_in(support, "give-access", dana, destination=course().pk, until=until)
    assert says in errors(answer)
    assert not RuleRun.objects.pending().exists()


def test_access_is_ended_on_a_day_and_the_day_is_chosen_again(support, place, dana):
    fill_in(support, "give-access", dana, destination=course().pk)
    place.world.settle()
    (held,) = [each for each in holdings.of_customer(dana) if each.grants[0].name == "Perspective"]
    on = timezone.localdate() + timedelta(days=9)
    answer = fill_in(support, "end-access", dana, holding=held.key, on=str(on))
    assert said(answer) == [f"The access to Perspective ends on {on.day} {on:%b}."]
    (link,) = re.findall(r'<a href="([^"]+)" class="button ">Change the last day</a>', html(answer))
    assert f'name="until" value="{on}"' in html(support.get(unescape(link)))
    later = on + timedelta(days=9)
    answer = change_day(support, dana, later)
    assert said(answer) == [f"The last day of Perspective is {later.day} {later:%b} now."]
    assert RuleRun.objects.pending().count() == 1
    entry = AuditEntry.objects.latest("pk")
    assert entry.act == "last_day_changed"


def test_a_last_day_that_is_over_or_somebody_elses_cannot_be_changed(support, dana):
    page = words(support.get(reverse("admin:change-last-day"), {"customer": dana.pk, "run": 0}))
    assert "Its last day was changed since, or is over." in page
    assert "Change the day" not in page


def test_of_two_who_change_the_same_last_day_the_second_is_told(support, dana):
    day = timezone.localdate() + timedelta(days=9)
    fill_in(support, "give-access", dana, destination=course().pk, until=str(day))
    run = RuleRun.objects.delayed().get()
    change_day(support, dana, day + timedelta(days=1))
    answer = fill_in(
        support, "change-last-day", dana, run=run.pk, until=str(day + timedelta(days=2))
    )
    assert "Its last day was changed since, or is over." in words(answer)
    assert timezone.localdate(RuleRun.objects.pending().get().next_attempt_at) == (
        day + timedelta(days=1)
    )


def test_what_was_ended_by_hand_offers_to_give_it_back(support, place, dana):
    closed = course("Watercolor for Beginners")
    fill_in(support, "give-access", dana, destination=closed.pk)
    (held,) = [each for each in holdings.of_customer(dana) if each.grants[0].name == closed.name]
    fill_in(support, "end-access", dana, holding=held.key)
    place.world.settle()
    run = RuleRun.objects.latest("pk")
    link = f"{reverse('admin:give-back')}?customer={dana.pk}&amp;run={run.pk}"
    assert f'<a href="{link}">Give it back</a>' in html(support.get(page_of(dana)))
    RuleRun.objects.filter(pk=run.pk).update(status="skipped", code="ended_by_hand")
    page = support.get(reverse("admin:events_rulerun_change", args=[run.pk]))
    assert f'<a href="{link}&amp;back=' in html(page)
    assert "Give it back" in words(page)


def test_a_refund_that_no_rule_answered_offers_to_end_the_access(support, place):
    Rule.objects.filter(action="expire_course_enrollment").delete()
    place.world.rule("product_purchased", "create_course_enrollment", course(), product="1048999")
    for what in ("10_product", "20_product"):
        sold = {"product__id": 1048999, "order__id": 4711, "customer__email": "leo@new.example.com"}
        place.world.sell(what, **sold)
        place.world.settle()
    leo = Customer.objects.get(email="leo@new.example.com")
    (held,) = holdings.of_customer(leo)
    page = html(support.get(page_of(leo)))
    assert "though order 4711 was refunded on" in page
    (link,) = re.findall(r'<a href="([^"]+holding=[^"]+)">End access</a>', page)
    assert re.search(f'value="{held.key}"[^>]* checked', html(support.get(unescape(link))))
    assert "holding=" not in html(signed_in(roles.VIEWER).get(page_of(leo)))


def test_where_there_is_no_access_there_is_nothing_to_end(support, dana):
    Grant.objects.filter(customer=dana).delete()
    page = support.get(reverse("admin:end-access"), {"customer": dana.pk})
    assert "Admit knows of no access that this customer has now." in words(page)
    assert "<textarea" not in page.content.decode()


def test_access_is_moved_and_both_customers_pages_say_so(support, place, dana):
    answer = fill_in(support, "move-access", dana, email="dana@new.example.com")
    assert said(answer) == ["The access is being moved to dana@new.example.com."]
    other = Customer.objects.get(email="dana@new.example.com")
    assert answer.redirect_chain[-1][0] == page_of(other)
    place.world.settle()
    assert "no order" not in words(support.get(page_of(other)))
    old_page = support.get(page_of(dana))
    assert f'href="{page_of(other)}">See the customer' in markup(old_page)
    settled = words(old_page)
    who = EventLog.objects.get(by_hand=EventLog.ByHand.MOVE_AWAY).author
    assert f"Dana has no access to Course Two: {who} moved it on " in settled
    assert "Moved to dana@new.example.com." in settled
    assert "is under your other e-mail address now" in settled
    assert f"Lost her receipt Moved from {DANA}." in words(support.get(page_of(other)))
    assert "Admit knows of no access" in words(
        support.get(reverse("admin:move-access"), {"customer": dana.pk})
    )
    assert f"Moved to {other.email}" not in words(support.get(page_of(other)))


@pytest.mark.parametrize(
    ("email", "says"), [("", "This field is required."), (DANA, "has already"), ("dana@@x", "@")]
)
def test_an_address_to_which_nothing_can_be_moved_is_refused(support, dana, email, says):
    answer = fill_in(support, "move-access", dana, email=email)
    assert says in errors(answer)
    assert not EventLog.objects.exclude(by_hand="").exists()


def enter_order(client: Client, customer: Customer | None = None, **answers: Any) -> Any:
    product = Product.objects.get(external_id="1048001")
    data = {"product": product.pk, "order_id": "7001", "email": DANA, "reason": "SamCart was down"}
    query = f"?customer={customer.pk}" if customer else ""
    return client.post(f"{reverse('admin:enter-order')}{query}", data | answers, follow=True)


def test_a_missed_order_is_entered_and_stands_in_the_log_as_such(support, dana):
    form = markup(support.get(reverse("admin:enter-order"), {"customer": dana.pk}))
    assert f'value="{DANA}"' in form
    assert 'value="Whitfield"' in form
    answer = enter_order(support, dana)
    assert said(answer) == ["The order is entered: 1 action queued."]
    assert answer.redirect_chain[-1][0] == page_of(dana)
    event = EventLog.objects.get(by_hand="order")
    assert "Product Purchased (entered by hand): Watercolor for Beginners , order 7001" in words(
        answer
    )
    page = support.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    for shown in ("Reason SamCart was down", "Order 7001", "Run the rules again", "Why Rule"):
        assert shown in words(page)
    for missing in ("Download JSON", "As received", "Received from SamCart"):
        assert missing not in words(page)
    assert (
        support.get(reverse("admin:events_eventlog_download", args=[event.pk])).status_code == 404
    )
    simulated = support.get(reverse("admin:simulate"), {"event": event.pk})
    assert "With the event received" in words(simulated)
    assert "Product Purchased (entered by hand)" in words(simulated)


def test_all_that_is_wrong_with_a_missed_order_is_marked_at_once(support):
    answer = enter_order(support, product="", order_id="0", email="mal")
    for wrong in ("product", "order_id", "email"):
        assert re.search(rf'name="{wrong}"[^>]*aria-invalid="true"', markup(answer)), wrong
    assert 'needs exactly one "@"' in errors(answer)


def test_a_missed_order_of_someone_new_is_found_from_the_search(support, place):
    found = support.get(reverse(CUSTOMERS), {"q": "new.buyer@example.com"})
    assert f'href="{reverse("admin:enter-order")}"' in markup(found)
    gift = Product.objects.get(external_id="1048004")
    answer = enter_order(support, product=gift.pk, email="new.buyer@example.com")
    assert said(answer) == ["The order is entered, but no rule that is turned on matches it."]
    made = Customer.objects.get(email="new.buyer@example.com")
    assert answer.redirect_chain[-1][0] == page_of(made)
    viewer = signed_in(roles.VIEWER).get(reverse(CUSTOMERS), {"q": "nobody@example.com"})
    assert reverse("admin:enter-order") not in markup(viewer)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"order_id": "0"}, "0 is no order number."),
        ({"order_id": "1.5"}, "not a whole number"),
        ({"subscription_id": "-1"}, "negative"),
        ({"email": "dana@@example.com"}, "@"),
        ({"product": ""}, "This field is required."),
        ({"reason": ""}, "This field is required."),
        ({"order_id": "1183"}, "is in the log already"),
    ],
)
def test_an_order_that_cannot_be_entered_is_refused_in_words(support, answers, says):
    assert says in errors(enter_order(support, **answers))
    assert not EventLog.objects.filter(by_hand="order").exists()


def test_a_note_stands_on_the_customers_page_and_in_the_log_and_does_nothing(support, dana):
    runs = RuleRun.objects.count()
    text = "Called at noon.\n<b>Wants</b> an invoice."
    answer = fill_in(support, "add-note", dana, reason=text)
    assert said(answer) == ["The note is added."]
    event = EventLog.objects.get(by_hand="note")
    assert f"Note Noted {event.author}: Called at noon. <b>Wants</b> an invoice." in words(answer)
    assert RuleRun.objects.count() == runs
    page = support.get(reverse("admin:events_eventlog_change", args=[event.pk]))
    assert "Note Called at noon." in words(page)
    assert "Nothing was sent." in words(page)
    for chosen in ({"result": "noted"}, {"trigger__exact": "by_hand"}):
        assert rows(support.get(reverse(LOG), chosen)) == 1


def test_an_empty_note_is_refused(support, dana):
    assert "This field is required." in errors(fill_in(support, "add-note", dana, reason=" "))
    assert not EventLog.objects.filter(by_hand="note").exists()


def test_what_is_not_offered_is_read_again_and_what_was_entered_is_kept(place, dana):
    manager = signed_in(roles.MANAGER)
    chosen = course()
    place.world.school.add_course("Brand New Course")
    entered = {"destination": chosen.pk, "until": "2030-01-31", "reason": "Lost her receipt"}
    answer = fill_in(manager, "give-access", dana, **entered, refresh="1")
    assert "Brand New Course" in words(answer)
    assert f'value="{chosen.pk}" id="d{chosen.pk}" required checked' in html(answer)
    assert 'value="2030-01-31"' in html(answer)
    assert "Lost her receipt</textarea>" in html(answer)
    assert not errors(answer)
    assert not EventLog.objects.exclude(by_hand="").exists()


def test_who_may_not_set_up_is_offered_no_refresh(support, dana):
    page = reverse("admin:give-access")
    assert "and look again" not in words(support.get(page, {"customer": dana.pk}))
    answer = support.post(page, {"customer": dana.pk, "refresh": "1"})
    assert answer.status_code == 403


def test_without_any_course_the_way_to_connect_is_a_button(dana):
    Destination.objects.all().delete()
    Integration.objects.all().delete()
    answer = signed_in(roles.MANAGER).get(reverse("admin:give-access"), {"customer": dana.pk})
    assert "Admit knows no course or bundle yet. Connect Thinkific" in words(answer)
