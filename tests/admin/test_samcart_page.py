"""The SamCart page shows the address only on request, and says what SamCart must send."""

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from config import public_url
from config.staff import roles
from events.deciding import inbox
from events.models import Delivery, EventLog, Grant, RuleRun
from events.reports import counting, review
from events.reports.system import trigger_coverage
from events.retention import delete_account
from integrations import credentials
from integrations.models import AuditEntry, Marketplace, Product, WebhookSecret
from rules.models import NamedType, Rule
from rules.triggers import Category, Trigger
from tests.support import factories, meanwhile, queued
from tests.support import shop as shops
from tests.support.pages import markup, plain, said, signed_in, words
from tests.support.queued import event
from tests.support.samcart import changed

pytestmark = pytest.mark.first_database

PUBLIC = "https://admit.example.com"


@pytest.fixture
def shop(shop: shops.Shop, settings) -> shops.Shop:
    settings.PUBLIC_URL = PUBLIC
    return shop


@pytest.fixture
def boss(shop) -> Client:
    return signed_in(is_superuser=True)


def place(what: str, *arguments: Any) -> str:
    return reverse(f"admin:samcart{what}", args=arguments)


# The address


def test_the_address_is_shown_on_request_alone_and_kept_nowhere(boss, shop):
    before = boss.get(place(""))
    assert shop.secret not in before.content.decode()
    shown = boss.post(place("-address", shop.marketplace.pk))
    assert f'value="{PUBLIC}/hooks/samcart/{shop.secret}/"' in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert shop.secret not in str(shown.cookies)
    assert shop.secret not in str(dict(boss.session))
    assert shop.secret not in boss.get(place("")).content.decode()


def test_without_script_the_address_can_be_selected_and_the_copy_button_is_not_there(boss, shop):
    page = boss.post(place("-address", shop.marketplace.pk)).content.decode()
    (field,) = re.findall(r'<input[^>]*id="address-field"[^>]*>', page)
    assert " readonly " in field
    (button,) = re.findall(r'<button[^>]*data-copy="address-field"[^>]*>', page)
    assert " hidden>" in button
    assert "admit/copy.js" in page


def test_a_link_to_the_shown_address_leads_to_the_page_without_it(boss, shop):
    replaced = ("-new-secret", "-end-old-address")
    for what in ("-address", *replaced, "-rename", "-own-rules", "-name-type"):
        answer = boss.get(place(what, shop.marketplace.pk))
        assert answer.status_code == 302, what
        assert answer["Location"] == place("-account", shop.marketplace.pk), what
    assert WebhookSecret.objects.count() == 1


def test_a_new_secret_leaves_the_old_address_for_a_week_and_says_until_when(boss, shop):
    answer = boss.post(place("-new-secret", shop.marketplace.pk), follow=True)
    old, new = WebhookSecret.objects.order_by("pk")
    assert (old.expires_at is not None, new.expires_at) == (True, None)
    (text,) = said(answer)
    end = timezone.localtime(old.expires_at)
    assert f"The old one works until {end.day} {end:%b}" in text
    assert "hooks" not in text
    assert "Older addresses" in words(answer)
    shown = boss.post(place("-address", shop.marketplace.pk)).content.decode()
    found = re.search(r"/hooks/samcart/([^/]+)/", shown)
    assert found
    assert found[1] != shop.secret
    assert shop.post({"type": "Order"}, secret=found[1]).status_code == 200
    assert "Not lately" in words(boss.get(place("")))
    assert shop.post({"type": "Order"}).status_code == 200
    assert "SamCart still has this one" in words(boss.get(place("")))


def test_an_old_address_that_has_ended_says_so(boss, shop):
    boss.post(place("-new-secret", shop.marketplace.pk))
    WebhookSecret.objects.exclude(expires_at=None).update(
        expires_at=timezone.now() - timedelta(days=1)
    )
    assert re.search(r"Ended \d+ \w+", words(boss.get(place(""))))


def test_a_leaked_address_is_ended_at_once_and_what_comes_there_waits_for_a_person(boss, shop):
    shop.rule("product_purchased")
    boss.post(place("-new-secret", shop.marketplace.pk))
    new = credentials.webhook_secret(shop.marketplace)
    page = boss.get(place(""))
    assert "First paste the current address in SamCart, then end the old one here." in words(page)
    assert "End the old address now" in words(page)
    answer = boss.post(place("-end-old-address", shop.marketplace.pk), follow=True)
    assert said(answer) == [
        "Main shop: The old address no longer works. What is still sent there is kept, enrolls "
        "nobody and waits for you."
    ]
    assert "End the old address now" not in words(answer)
    # The old address takes what is sent, and carries nothing out; the new one does.
    shop.sell(changed("10_product", order__id=1))
    held = EventLog.objects.get()
    assert (held.withdrawn, held.runs.filter(status="held").count()) == (True, 1)
    assert "It was sent to a withdrawn address." in held.reason
    assert shop.post(changed("10_product", order__id=2), secret=new).status_code == 200
    assert Delivery.objects.latest("pk").withdrawn is False
    answer = boss.post(place("-end-old-address", shop.marketplace.pk), follow=True)
    assert said(answer) == ["Main shop has no old address that still works."]


def test_several_old_addresses_end_together_and_not_those_of_another_account(boss, shop):
    other = Marketplace.objects.create(name="Side shop")
    for _ in range(2):
        credentials.add_webhook_secret(other)
        boss.post(place("-new-secret", shop.marketplace.pk))
    assert "End the old addresses now" in words(boss.get(place("")))
    answer = boss.post(place("-end-old-address", shop.marketplace.pk), follow=True)
    assert "Main shop: 2 old addresses no longer work." in said(answer)[0]
    now = timezone.now()
    assert not shop.marketplace.webhook_secrets.filter(expires_at__gt=now).exists()
    assert shop.marketplace.webhook_secrets.filter(expires_at=None).count() == 1
    assert other.webhook_secrets.filter(expires_at__gt=now).count() == 1


def test_another_new_secret_prolongs_no_older_address(boss, shop):
    boss.post(place("-new-secret", shop.marketplace.pk))
    oldest = WebhookSecret.objects.exclude(expires_at=None).get()
    soon = timezone.now() + timedelta(hours=1)
    for end in (soon, timezone.now() - timedelta(hours=1)):
        WebhookSecret.objects.filter(pk=oldest.pk).update(expires_at=end)
        boss.post(place("-new-secret", shop.marketplace.pk))
        oldest.refresh_from_db()
        assert oldest.expires_at == end


def test_an_address_that_cannot_be_opened_is_said(boss, shop):
    WebhookSecret.objects.update(sealed="gAAAAA")
    shown = words(boss.post(place("-address", shop.marketplace.pk)))
    assert "cannot be opened with FIELD_ENCRYPTION_KEYS" in shown


def test_an_account_without_an_address_is_given_one(boss, shop):
    WebhookSecret.objects.all().delete()
    assert "has no address yet" in words(boss.get(place("")))
    answer = boss.post(place("-new-secret", shop.marketplace.pk), follow=True)
    assert said(answer) == ["Main shop has a new address. Press Show, and paste it in SamCart."]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://admit.example.com", ""),
        ("https://8.8.8.8:8443", ""),
        ("http://admit.example.com", "is not https"),
        ("http://127.0.0.1:8000", "this machine or its own network only"),
        ("https://localhost", "this machine or its own network only"),
        ("https://[::1]:8000", "this machine or its own network only"),
        ("https://192.168.1.4", "this machine or its own network only"),
        ("https://studio.local", "this machine or its own network only"),
        ("https://0.0.0.0", "this machine or its own network only"),
    ],
)
def test_an_address_that_samcart_cannot_reach_is_refused_with_a_sentence(
    boss, shop, settings, url: str, says: str
):
    settings.PUBLIC_URL = url
    assert says in public_url.problem()
    shown = boss.post(place("-address", shop.marketplace.pk))
    assert (shop.secret in shown.content.decode()) == (not says)
    assert says in words(boss.get(place("")))
    assert ("PUBLIC_URL" in words(shown)) == bool(says)


def test_in_the_demo_the_address_of_this_machine_is_shown(boss, shop, settings):
    settings.DEMO, settings.PUBLIC_URL = True, "http://127.0.0.1:8000"
    shown = boss.post(place("-address", shop.marketplace.pk))
    assert f"http://127.0.0.1:8000/hooks/samcart/{shop.secret}/" in shown.content.decode()


# What SamCart must send


def test_a_trigger_that_rules_need_and_samcart_never_sent_is_amber(boss, shop):
    for product in ("1", "2", "3"):
        shop.rule("product_refunded", product=product, action="expire_course_enrollment")
    sentence = "Product Refunded: 3 rules wait for it."
    page = boss.get(place(""))
    assert sentence in words(page)
    assert markup(page).count('class="missing"') == 1
    event(None, trigger="product_refunded")
    page = boss.get(place(""))
    assert sentence not in words(page)
    assert 'class="missing"' not in markup(page)


def test_all_that_was_never_sent_is_one_list_below_the_address(boss, shop):
    every = [each for each in Trigger if each.category is Category.ECOMMERCE]
    for trigger in every:
        shop.rule(trigger, action="expire_course_enrollment")
    page = boss.get(place("")).content.decode()
    assert page.index('id="address"') < page.index(
        "SamCart has sent none of these yet. That is fine"
    )
    assert page.count('class="note note-wait"') == 1
    assert page.count(": 1 rule waits for it") == len(every)
    text = "Subscription Completed: 1 rule waits for it. Send it to its own address"
    assert text in words(boss.get(place("")))
    assert text in words(boss.get(reverse("admin:index")))


def test_the_overview_heads_what_was_never_sent_with_its_account_where_there_are_several(
    boss, shop
):
    shop.rule("product_refunded", product="1", action="expire_course_enrollment")
    overview = markup(boss.get(reverse("admin:index")))
    assert f"<h3>{shop.marketplace.name}</h3>" not in overview
    other = factories.RuleFactory.create(
        trigger="product_refunded", action="expire_course_enrollment"
    ).marketplace
    overview = markup(boss.get(reverse("admin:index")))
    for account in (shop.marketplace, other):
        part = overview.partition(f"<h3>{account.name}</h3>")[2].partition("</h3>")[0]
        assert part.count("Product Refunded: 1 rule waits for it.") == 1
        assert f'href="{place("-account", account.pk)}#triggers"' in part


@pytest.mark.parametrize(("sold", "is_gap"), [(0, False), (3, False), (4, True)])
def test_no_refund_yet_is_a_gap_only_where_one_should_have_come(
    boss, shop, monkeypatch, sold, is_gap
):
    likely = trigger_coverage.Likely(Trigger.PRODUCT_PURCHASED, 4, 14)
    monkeypatch.setitem(trigger_coverage.LIKELY, Trigger.PRODUCT_REFUNDED, (likely,))
    shop.rule("product_refunded", action="expire_course_enrollment")
    for _ in range(sold):
        event(None, trigger="product_purchased")
    lately = timezone.now() - timedelta(days=13)
    EventLog.objects.update(received_at=lately)
    (one,) = trigger_coverage.missing(shop.marketplace)
    assert not one.is_gap
    EventLog.objects.update(received_at=lately - timedelta(days=2))
    (one,) = trigger_coverage.missing(shop.marketplace)
    assert one.is_gap == is_gap
    page = words(boss.get(place("")))
    assert ("has sent Product Purchased at least 4 times" in page) == is_gap
    assert ("That is fine if none has happened" in page) != is_gap


def test_each_trigger_has_a_row_with_its_meaning_its_rules_and_when_it_was_heard(boss, shop):
    shop.rule("product_purchased")
    event(None)
    shown = boss.get(place("")).content.decode()
    # Without the menus, which name every trigger too.
    page = plain(re.sub(r"<select\b.*?</select>", "", shown, flags=re.DOTALL))
    heard = timezone.localtime(EventLog.objects.get().received_at)
    assert (
        "Product Purchased The product was bought, as main product, upsell, order bump or payment "
        f"option. 1 rule {heard.day} {heard:%b %H:%M} Not needed"
    ) in page
    for trigger in ("Subscription Completed", "Student Added to Course", "Course Finished"):
        assert trigger in page


def test_only_triggers_whose_type_is_uncertain_get_an_address_of_their_own(boss, shop):
    page = boss.post(place("-address", shop.marketplace.pk)).content.decode()
    own = re.findall(rf'value="{PUBLIC}/hooks/samcart/{shop.secret}/(\w+)/"', page)
    assert own == [
        "subscription_completed",
        "course_student_added",
        "course_student_removed",
        "course_started",
        "course_finished",
    ]
    shop.sell(changed("10_product", type="Whatever"), trigger=own[0])
    assert EventLog.objects.get().trigger == "subscription_completed"


def test_the_page_tells_what_to_click_in_samcart_with_the_shortest_set_of_rules(boss):
    page = words(boss.get(place("")))
    assert "Marketplace Settings > Integrations" in page
    assert "Apps > Webhooks" in page
    shortest = page.partition("The shortest set of rules")[2].partition("Add another trigger")[0]
    assert shortest.split(") ", 1)[1].strip() == (
        "Product Refunded Subscription Canceled Subscription Recovered Subscription Restarted"
    )
    assert shortest.strip().startswith("Product Purchased (not Order Completed")


def test_that_samcarts_own_rules_are_off_is_ticked_and_taken_back(boss, shop):
    path = place("-own-rules", shop.marketplace.pk)
    answer = boss.post(path, {"own_rules_off": "on"}, follow=True)
    assert said(answer) == [
        "Noted: SamCart's own Thinkific rules are off. Admit alone enrolls now."
    ]
    assert Marketplace.objects.get().own_rules_off
    assert 'id="own-rules-off" checked' in markup(answer)
    answer = boss.post(path, {}, follow=True)
    assert said(answer)[0].startswith("Noted: SamCart's own Thinkific rules are still on.")
    assert not Marketplace.objects.get().own_rules_off


# Several accounts


def test_a_new_account_gets_an_address_and_a_tab(boss, shop):
    answer = boss.post(place("-add"), {"name": " Second shop "}, follow=True)
    assert said(answer) == ["Second shop: added. Press Show, and give SamCart its address."]
    second = Marketplace.objects.get(name="Second shop")
    assert answer.redirect_chain == [(place("-account", second.pk), 302)]
    shown = boss.post(place("-address", second.pk)).content.decode()
    assert "/hooks/samcart/" in shown
    assert shop.secret not in shown
    tabs = boss.get(place("")).content.decode().partition('<nav class="tabs"')[2]
    assert place("-account", second.pk) in tabs.partition("</nav>")[0]


def test_nobody_is_told_to_press_show_while_samcart_cannot_reach_admit(boss, settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    answer = boss.post(place("-add"), {"name": "Second shop"}, follow=True)
    assert said(answer) == ["Second shop: added."]


def test_a_single_account_has_no_tabs(boss):
    assert '<nav class="tabs"' not in markup(boss.get(place("")))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "A SamCart account needs a name."),
        ("Main shop", "There is a SamCart account with this name already."),
        ("x" * 101, "Ensure this value has at most 100 characters (it has 101)."),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_words(boss, shop, name: str, says: str):
    second = shops.another(shop).marketplace
    assert said(boss.post(place("-add"), {"name": name}, follow=True)) == [says]
    assert said(boss.post(place("-rename", second.pk), {"name": name}, follow=True)) == [says]
    assert {one.name for one in Marketplace.objects.all()} == {"Main shop", "Second shop"}


def test_an_account_is_renamed_and_keeps_its_address(boss, shop):
    answer = boss.post(place("-rename", shop.marketplace.pk), {"name": "Art shop"}, follow=True)
    assert said(answer) == ["Main shop is called Art shop now. Its address stays the same."]
    assert shop.post({"type": "Order"}).status_code == 200


def test_renaming_an_account_changes_nothing_else_that_was_noted_meanwhile(boss, shop):
    note = partial(Marketplace.objects.update, own_rules_off=True)
    with meanwhile.after_reading("integrations_marketplace", note):
        boss.post(place("-rename", shop.marketplace.pk), {"name": "Art shop"})
    stored = Marketplace.objects.get()
    assert (stored.name, stored.own_rules_off) == ("Art shop", True)
    assert AuditEntry.objects.latest("pk").after == {"name": "Art shop"}


def test_deleting_an_account_counts_first_and_leaves_the_others_alone(boss, shop, monkeypatch):
    monkeypatch.setattr(delete_account, "BATCH", 2)
    second = shops.another(shop)
    for account in (shop, second):
        account.rule("product_purchased", product="1048001")
        for order in (1, 2, 3):
            account.sell(changed("10_product", order__id=order))
    NamedType.objects.create(marketplace=shop.marketplace, type="x", trigger="product_purchased")
    path = place("-delete", shop.marketplace.pk)
    page = words(boss.get(path))
    for line in ("1 rule", "1 product", "3 events", "1 named type", "Nobody loses access"):
        assert line in page
    assert Marketplace.objects.count() == 2
    answer = boss.post(path, follow=True)
    assert said(answer)[0].startswith("Main shop: deleted. Its address no longer accepts events.")
    assert shop.post({"type": "Order"}).status_code == 404
    assert Marketplace.objects.get() == second.marketplace
    for model, left in ((Delivery, 3), (EventLog, 3), (RuleRun, 3), (Rule, 1), (Product, 1)):
        assert model._default_manager.count() == left, model
    assert second.post({"type": "Order"}).status_code == 200


def test_who_has_access_keeps_it_when_the_account_is_deleted(boss, shop, monkeypatch):
    """Also where one order has two products that give the same course."""
    monkeypatch.setattr(delete_account, "BATCH", 1)
    runs = [
        queued.run(factories.DestinationFactory.create(), of=of, status="done")
        for of in (event(factories.CustomerFactory.create(), order="7") for _ in range(2))
    ]
    for run in runs:
        product = factories.ProductFactory.create(marketplace=shop.marketplace)
        same: dict[str, Any] = {"integration": runs[0].integration, "target": "course:501"}
        queued.grant(run, product=product, marketplace=shop.marketplace, **same)
    path = place("-delete", shop.marketplace.pk)
    kept = "2 buyers keep access, and no refund or cancellation ends it anymore."
    assert kept in words(boss.get(path))
    boss.post(path)
    for grant in Grant.objects.active():
        assert (grant.marketplace, grant.product, grant.event) == (None, None, None)
    assert list(Grant.objects.values_list("order_id", flat=True)) == ["7", "7"]


def test_an_account_with_too_much_to_delete_at_once_is_deleted_by_another_press(
    boss, shop, monkeypatch
):
    monkeypatch.setattr(delete_account, "SECONDS", -1)
    event(None)
    path = place("-delete", shop.marketplace.pk)
    (text,) = said(boss.post(path, follow=True))
    assert text.endswith("many of the events are deleted. Press Delete once more for the rest.")
    assert EventLog.objects.exists()
    assert shop.post({"type": "Order"}).status_code == 404
    monkeypatch.undo()
    boss.post(path)
    assert not Marketplace.objects.exists()
    assert not EventLog.objects.exists()


def test_what_was_not_read_yet_is_counted_too(boss, shop):
    shop.post({"type": "Order"})
    assert "1 delivery that was not read yet" in words(
        boss.get(place("-delete", shop.marketplace.pk))
    )


def test_counts_of_what_goes_end_at_a_limit(shop, monkeypatch):
    monkeypatch.setattr(counting, "MAX_COUNT", 2)
    for _ in range(3):
        event(None)
    assert delete_account.summarize(shop.marketplace).lines() == ["2+ events"]


def test_without_any_account_the_page_offers_to_add_one(boss, shop):
    shop.marketplace.delete()
    assert "No SamCart account yet" in words(boss.get(place("")))
    boss.post(place("-add"), {"name": "First"})
    assert Marketplace.objects.get().webhook_secrets.count() == 1


def test_an_account_that_is_not_there_is_not_found(boss):
    assert boss.get(place("-account", 999)).status_code == 404
    for what in ("-address", "-new-secret", "-rename", "-own-rules", "-delete", "-name-type"):
        assert boss.post(place(what, 999)).status_code == 404, what


# Types that nobody knew


def test_a_type_is_named_where_it_waits_and_its_events_are_read_again(boss, shop):
    shop.rule("product_purchased", product="1048001")
    shop.sell(changed("10_product", type="Purchase-Of Some kind"))
    OrmQ.objects.all().delete()
    assert "1 event of type Purchase-Of Some kind waits for a name" in words(boss.get(place("")))
    data = {"type": "Purchase-Of Some kind", "trigger": "product_purchased"}
    answer = boss.post(place("-name-type", shop.marketplace.pk), data, follow=True)
    assert said(answer) == [
        "“Purchase-Of Some kind” now means Product Purchased. "
        "1 event that waited is read again: see the log."
    ]
    assert OrmQ.objects.count() == 1
    inbox.process()
    assert EventLog.objects.get().trigger == "product_purchased"
    assert RuleRun.objects.count() == 1
    named = NamedType.objects.get()
    answer = boss.post(place("-forget-type", shop.marketplace.pk, named.pk), follow=True)
    assert said(answer)[0].startswith("“purchaseofsomekind” has no name anymore.")
    assert not NamedType.objects.exists()
    assert EventLog.objects.get().trigger == "product_purchased"


@pytest.mark.parametrize(
    ("word", "trigger", "says"),
    [
        ("ORDER", "product_refunded", "Admit knows this type: it is Product Purchased."),
        ("--", "product_refunded", "A type has letters or digits."),
        ("", "product_refunded", "A type has letters or digits."),
        ("new", "", "Choose the trigger"),
    ],
)
def test_a_type_that_cannot_be_named_is_refused_in_words(boss, shop, word, trigger, says):
    data = {"type": word, "trigger": trigger}
    (text,) = said(boss.post(place("-name-type", shop.marketplace.pk), data, follow=True))
    assert text.startswith(says)
    assert not NamedType.objects.exists()


def test_a_type_that_means_nothing_is_never_asked_about_again(boss, shop):
    shop.rule("product_purchased", product="1048001")
    shop.sell(changed("10_product", type="Survey"))
    data = {"type": "Survey", "trigger": "nothing"}
    answer = boss.post(place("-name-type", shop.marketplace.pk), data, follow=True)
    assert said(answer) == [
        "“Survey” means nothing to Admit, and you are not asked about it again."
    ]
    assert "survey Nothing: never ask again" in words(answer)
    inbox.process()
    shop.sell(changed("10_product", type="survey", order__id=2))
    found = EventLog.objects.values_list("status", "trigger")
    assert set(found) == {("skipped", None)}
    assert "means nothing to Admit" in EventLog.objects.earliest("pk").reason
    assert "waits for a name" not in words(boss.get(place("")))
    assert not review.not_understood().exists()
    other = data | {"trigger": "product_refunded"}
    refused = boss.post(place("-name-type", shop.marketplace.pk), other, follow=True)
    assert said(refused) == ["You said that “survey” means nothing. Delete that first."]
    # A mistake loses nothing.
    named = NamedType.objects.get()
    answer = boss.post(place("-forget-type", shop.marketplace.pk, named.pk), follow=True)
    assert said(answer) == ["“survey” has no name anymore. Its events wait for a name again."]
    inbox.process()
    assert set(EventLog.objects.values_list("status", flat=True)) == {"unknown_type"}
    boss.post(place("-name-type", shop.marketplace.pk), data | {"trigger": "product_purchased"})
    inbox.process()
    assert RuleRun.objects.count() == 2


def test_a_name_of_another_account_is_not_deleted(boss, shop):
    second = shops.another(shop).marketplace
    named = NamedType.objects.create(marketplace=second, type="x", trigger="product_purchased")
    boss.post(place("-forget-type", shop.marketplace.pk, named.pk))
    assert NamedType.objects.exists()


def test_what_strangers_send_is_escaped(boss, shop):
    hostile = "<script>alert(1)</script>\u202egnp" + "x" * 300
    factories.MarketplaceFactory(name="<img src=x onerror=alert(1)>")
    shop.sell(changed("10_product", type=hostile))
    page = markup(boss.get(place("")))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\\u202egnp" in words(boss.get(place("")))


# Who may do what

DOES = {
    "-address": "integrations.see_address_marketplace",
    "-new-secret": "integrations.see_address_marketplace",
    "-end-old-address": "integrations.see_address_marketplace",
    "-rename": "integrations.change_marketplace",
    "-own-rules": "integrations.change_marketplace",
    "-delete": "integrations.delete_marketplace",
    "-name-type": "rules.add_namedtype",
    "-forget-type": "rules.delete_namedtype",
    "-add": "integrations.add_marketplace",
}


@pytest.mark.parametrize("role", ["", *roles.ROLES])
def test_a_role_does_what_it_may_and_no_more(shop, role: str):
    client = signed_in(role)
    named = NamedType.objects.create(
        marketplace=shop.marketplace, type="x", trigger="product_purchased"
    )
    credentials.add_webhook_secret(shop.marketplace)
    allowed = roles.ROLES.get(role, ())
    page = client.get(place(""))
    assert page.status_code == (200 if "integrations.view_marketplace" in allowed else 403)
    arguments = {"-add": [], "-forget-type": [shop.marketplace.pk, named.pk]}
    # What deletes the account comes last.
    for what in sorted(DOES, key=lambda what: what == "-delete"):
        path = place(what, *arguments.get(what, [shop.marketplace.pk]))
        may = DOES[what] in allowed
        # No permission: the button is not there, and the POST is refused.
        if role:
            assert (f'"{path}"' in page.content.decode()) == may, what
        answer = client.post(path, {"name": "X", "type": "y", "trigger": "product_purchased"})
        assert (answer.status_code == 403) == (not may), what
        if not may:
            assert shop.secret not in answer.content.decode()
    assert Marketplace.objects.filter(pk=shop.marketplace.pk).exists() == (role != roles.MANAGER)


def test_a_stranger_is_asked_to_sign_in(shop, client):
    for what in ("", "-account", "-address", "-delete"):
        path = place(what, *([shop.marketplace.pk] if what else []))
        for answer in (client.get(path), client.post(path)):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))


def test_the_page_asks_few_questions_however_much_there_is(
    boss, shop, django_assert_max_num_queries
):
    for number in range(30):
        shop.rule("product_purchased", product=str(number))
        shop.sell(changed("10_product", type=f"kind{number}", order__id=number))
        boss.post(place("-new-secret", shop.marketplace.pk))
    with django_assert_max_num_queries(20):
        page = boss.get(place(""))
    assert page.content.decode().count("waits for a name") == 30
