"""Notify URLs in the configuration file: no call, no course, and never a secret."""

import pytest
import yaml

from integrations import credentials
from integrations.calls import rate_limit
from integrations.models import CallBudget, Integration
from integrations.notify_url import signature
from rules.configuration import Faulty, apply, export
from rules.models import Rule

# A literal address is looked up nowhere; nothing is sent there.
URL = "https://1.1.1.1/hooks/samcart"
FILE = f"""\
marketplaces:
  - name: Main shop
integrations:
  - name: My CRM
    app: notify_url
    url: {URL}
rules:
  - marketplace: Main shop
    trigger: product_refunded
    integration: My CRM
    action: send_http_post
  - marketplace: Main shop
    product: 1048001
    trigger: product_purchased
    integration: My CRM
    action: send_http_post
    enabled: false
"""

# Decided by a file.
pytestmark = [pytest.mark.django_db, pytest.mark.first_database]


def run(text: str = FILE, **environ: str) -> list[str]:
    """Apply the file; the sentences about what changed."""
    return apply(text.encode(), environ).changes


def stored() -> Integration:
    return Integration.objects.get()


def test_a_file_connects_a_receiver_with_a_secret_of_admits_making():
    told = run()
    crm = stored()
    assert (crm.app, crm.url, crm.site, crm.enabled) == ("notify_url", URL, "1.1.1.1", True)
    assert signature.key_of(crm.secret())
    assert crm.secret() not in "".join(told)
    assert [str(rule) for rule in Rule.objects.order_by("pk")] == [
        "Product Refunded, every product: Send HTTP POST, My CRM",
        "Product Purchased, Product 1048001: Send HTTP POST, My CRM",
    ]
    assert [rule.enabled for rule in Rule.objects.order_by("pk")] == [True, False]
    assert {rule.destination for rule in Rule.objects.all()} == {None}


def test_a_second_run_changes_nothing():
    run()
    secret = stored().sealed_secret
    assert run() == []
    assert stored().sealed_secret == secret


def test_an_export_holds_no_secret_and_sets_up_an_empty_installation():
    run()
    secret, text = stored().secret(), export()
    assert secret not in text
    assert "THINKIFIC_SECRET" not in text
    content = yaml.safe_load(text)
    assert content["integrations"] == [
        {"name": "My CRM", "app": "notify_url", "url": URL, "enabled": True}
    ]
    assert [rule.get("destination") for rule in content["rules"]] == [None, None]
    assert run(text) == []
    Rule.objects.all().delete()
    Integration.objects.all().delete()
    run(text)
    assert stored().secret() != secret
    assert export() == text


def test_a_secret_of_the_file_is_used_and_a_changed_one_told_without_its_value():
    text = FILE.replace(f"url: {URL}", f'url: {URL}\n    secret: "${{CRM}}"')
    first, second = signature.new_secret(), signature.new_secret()
    run(text, CRM=first)
    assert stored().secret() == first
    rate_limit.block(stored().pk, CallBudget.Blocked.AWAY, 600)
    assert run(text, CRM=second) == ["Change integration My CRM: new signing secret."]
    assert stored().secret() == second
    assert rate_limit.blocked_for(stored().pk)[0] == ""
    assert run() == []  # an absent one stays
    assert stored().secret() == second


def test_another_address_is_taken_and_ends_the_pause_of_the_old_one():
    run()
    rate_limit.block(stored().pk, CallBudget.Blocked.AWAY, 600)
    secret = stored().secret()
    text = FILE.replace(URL, "https://1.0.0.1/other")
    assert run(text) == ["Change integration My CRM: new address."]
    assert (stored().url, stored().site) == ("https://1.0.0.1/other", "1.0.0.1")
    assert stored().secret() == secret
    assert rate_limit.blocked_for(stored().pk)[0] == ""


def test_two_receivers_may_have_one_host():
    second = f"  - name: Second\n    app: notify_url\n    url: {URL}/2\nrules:"
    run(FILE.replace("rules:", second))
    assert set(Integration.objects.values_list("name", "site")) == {
        ("My CRM", "1.1.1.1"),
        ("Second", "1.1.1.1"),
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f"    url: {URL}\n", "", "`url` is missing"),
        (f"url: {URL}", f"url: {URL}\n    site: acme", "there is no key `site` here"),
        ("app: notify_url", "app: thinkific", "there is no key `url` here"),
        ("app: notify_url", "app: notify-url", "Did you mean notify_url?"),
        (URL, "https://10.0.0.1/hook", "is not on the public internet"),
        (URL, "http://1.1.1.1/hook", "must begin with https://"),
        (URL, "https://user:pw@1.1.1.1/", "must not contain a user name or a password"),
        (f"url: {URL}", f"url: {URL}\n    secret: whsec_short", "`secret`: A signing secret is"),
        (
            "action: send_http_post\n    enabled",
            "action: send_http_post\n    destination: 501\n    enabled",
            "send_http_post has no `destination`",
        ),
        (
            "action: send_http_post\n    enabled",
            "action: create_course_enrollment\n    destination: 501\n    enabled",
            "create_course_enrollment is no action of My CRM, which is of the app notify_url",
        ),
    ],
)
def test_a_fault_is_told_and_nothing_is_applied(old, new, says):
    assert old in FILE
    with pytest.raises(Faulty) as caught:
        run(FILE.replace(old, new))
    assert says in str(caught.value)
    assert "pw@" not in str(caught.value)
    assert not Integration.objects.exists()


def test_an_integration_stays_what_it_is():
    credentials.save(Integration(name="My CRM", site="acme"), "0123456789abcdef0123456789abcdef")
    with pytest.raises(Faulty, match="My CRM is of the app thinkific and stays it"):
        run()
    assert stored().url == ""


def test_rules_that_the_file_does_not_name_stay_until_prune():
    run()
    shorter = FILE[: FILE.index("  - marketplace: Main shop\n    product:")]
    report = apply(shorter.encode(), {})
    assert report.left == ["rule: Product Purchased, Product 1048001: Send HTTP POST, My CRM"]
    apply(shorter.encode(), {}, prune=True)
    assert Rule.objects.count() == 1
