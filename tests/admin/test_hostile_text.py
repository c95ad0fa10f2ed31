"""What strangers send neither runs as code nor breaks a page, in any field."""

import re
from typing import Any

import pytest
from django.urls import reverse

from config.staff import roles
from events.models import EventLog, RuleRun
from integrations.models import Customer, Product
from tests.support.pages import signed_in
from tests.support.samcart import payload
from tests.support.world import World

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe\u2066 \u200b\x07",
    "x" * 10_000,
    '=HYPERLINK("http://evil.example","click")',
    "{{ 7|add:7 }}{% csrf_token %}",
    "%s %(x)s {0} {name}",
]
# Bidirectional and invisible signs that must never reach a page as they are.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08]")


def filled(value: Any, text: str) -> Any:
    """The sample with each of its texts, names of fields aside, replaced."""
    if isinstance(value, dict):
        return {key: filled(each, text) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, text) for each in value]
    return text if isinstance(value, str) else value


def pages() -> list[str]:
    """Every page that shows what strangers sent."""
    found = ["admin:index", "admin:simulate", "admin:new-rule", "admin:samcart"]
    lists = ["events_eventlog", "events_rulerun", "integrations_product", "rules_rule"]
    paths = [reverse(name) for name in found]
    paths += [reverse(f"admin:{name}_changelist") for name in lists]
    paths.append(reverse("admin:integrations_customer_changelist") + "?q=a")
    for model in (EventLog, RuleRun, Customer, Product):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        paths += [reverse(name, args=[pk]) for pk in model.objects.values_list("pk", flat=True)]
    paths += [
        f"{reverse('admin:simulate')}?event={pk}"
        for pk in EventLog.objects.values_list("pk", flat=True)
    ]
    for product in Product.objects.all():
        paths.append(f"{reverse('admin:new-rule')}?product={product.pk}")
    return paths


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field_breaks_no_page(world: World, text: str):
    world.rule("product_purchased", "create_course_enrollment", world.course())
    body = filled(payload("11_product"), text)
    # What names the person and the event stays, so that it goes all the way to Thinkific.
    body["type"], body["customer"]["email"] = "Order", "dana@example.com"
    assert world.post(body).status_code == 200
    assert world.post(filled(payload("10_product"), text)).status_code == 200
    assert world.post(filled(payload("91_edge_unknown"), text)).status_code == 200
    assert world.post(text.encode("utf-8", "replace")).status_code == 200
    world.settle()
    assert EventLog.objects.count() >= 4
    assert RuleRun.objects.filter(status="done").exists()
    owner = signed_in(roles.MANAGER, is_superuser=True)
    for path in pages():
        answer = owner.get(path, follow=True)
        assert answer.status_code == 200, path
        page = answer.content.decode()
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        shown = re.sub(r"<input [^>]*>", "", page)  # a form holds a name as it is
        found = TURNING.search(shown)
        assert not found, f"{path}: {shown[found.start() - 200 : found.end()]!a}"
        assert "14{" not in page, path
        assert len(page) < 1_000_000, path


def test_a_download_is_never_taken_for_a_page(world: World):
    world.sell("10_product", product__name="<script>alert(1)</script>")
    event = EventLog.objects.get()
    owner = signed_in(roles.SUPPORT)
    answer = owner.get(reverse("admin:events_eventlog_download", args=[event.pk]))
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "attachment" in answer["Content-Disposition"]
