"""Makes a shop with a long history and times its pages.

`python -m tests.bench.crowd EVENTS PRODUCTS` fills the database of DATABASE_URL, opens each page a
few times with Django's test client, and prints {page: [median seconds, queries]} as JSON.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any
from urllib.parse import urlencode

from tests.bench.sold import fill

ROUNDS = 7
# A page takes at most this many products or rules at once.
MANY = 100


def pages() -> Iterator[tuple[str, str]]:
    """Return the pages to open, by name."""
    from django.urls import reverse

    from events.models import EventLog, RuleRun
    from integrations.models import Customer, Integration, Product
    from rules.models import Rule

    site, new = Integration.objects.order_by("pk")
    event, run = EventLog.objects.latest("pk"), RuleRun.objects.latest("pk")
    log, actions = (reverse(f"admin:events_{name}_changelist") for name in ("eventlog", "rulerun"))
    customers = reverse("admin:integrations_customer_changelist")
    yield "overview", reverse("admin:index")
    yield "log", log
    yield "log, failed", f"{log}?result=failed"
    yield "log, an e-mail", f"{log}?q=buyer77@example.com"
    yield "log, a name", f"{log}?q=dana77"
    yield "log, a product", f"{log}?product={Product.objects.earliest('pk').pk}"
    yield "log, a site", f"{log}?integration={site.pk}"
    yield "log, a site without any", f"{log}?integration={new.pk}"
    yield "log, a trigger", f"{log}?trigger__exact=product_refunded"
    yield "log, seven days", f"{log}?received=7"
    yield "log, page 15", f"{log}?p=15"
    yield "event", reverse("admin:events_eventlog_change", args=[event.pk])
    yield "actions", actions
    yield "actions, failed", f"{actions}?status__exact=failed"
    yield "actions, a site", f"{actions}?integration={site.pk}"
    yield "actions, a site without any", f"{actions}?integration={new.pk}"
    yield "actions, an e-mail", f"{actions}?q=buyer77@example.com"
    yield "action", reverse("admin:events_rulerun_change", args=[run.pk])
    yield "customers, part of an e-mail", f"{customers}?q=uyer777"
    yield "customers, a name", f"{customers}?q=DANA77"
    yield "customers, nobody", f"{customers}?q=buyre77@exmple.com"
    yield (
        "customer",
        reverse("admin:integrations_customer_change", args=[Customer.objects.latest("pk").pk]),
    )
    yield "products", reverse("admin:integrations_product_changelist")
    product = Product.objects.earliest("pk")
    yield "product", reverse("admin:integrations_product_change", args=[product.pk])
    yield "rules", reverse("admin:rules_rule_changelist")
    yield "rule", reverse("admin:rules_rule_change", args=[Rule.objects.latest("pk").pk])
    yield "new rule", reverse("admin:new-rule")
    for_many = [("product", each.pk) for each in Product.objects.order_by("pk")[:MANY]]
    yield "new rule, a hundred products", f"{reverse('admin:new-rule')}?{urlencode(for_many)}"
    course = ("destination", Rule.objects.latest("pk").destination_id)
    chosen = urlencode([*for_many, course])
    yield "new rule, a hundred rules", f"{reverse('admin:new-rule')}?{chosen}"
    made = urlencode([("rule", each.pk) for each in Rule.objects.order_by("-pk")[:MANY]])
    yield "rules added, a hundred", f"{reverse('admin:new-rule-added')}?{made}"
    yield "search", f"{reverse('admin:search')}?q=course"
    yield "integrations", reverse("admin:integrations_integration_changelist")
    yield "SamCart", reverse("admin:samcart")
    yield "simulate", f"{reverse('admin:simulate')}?event={event.pk}"
    yield "coverage", reverse("admin:coverage")
    yield "compare", reverse("admin:compare")
    yield "alerts", reverse("admin:alerts")
    yield "changes", reverse("admin:integrations_auditentry_changelist")
    yield "queue", reverse("admin:queue")


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    call_command("migrate", verbosity=0)
    events, products = map(int, sys.argv[1:])
    fill(events, products=products)
    if connection.vendor == "postgresql":  # Autovacuum does this by itself; SQLite never does.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(get_user_model().objects.create_superuser("owner"))
    found: dict[str, Any] = {}
    # As the server does before its processes begin: what is loaded is no garbage to look for.
    gc.collect()
    gc.freeze()
    for name, path in pages():
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(path)
        if answer.status_code not in {200, 302}:
            raise SystemExit(f"{path} answered {answer.status_code}")
        queries = len(asked)  # The next request forgets them.
        took = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            client.get(path)
            took.append(time.perf_counter() - begun)
        found[name] = [median(took), queries]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
