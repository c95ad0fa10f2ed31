"""Makes a shop with one rule, connected to the sandbox: `python -m tests.bench.scene COUNT`.

Makes the tables of the database in DATABASE_URL and the shop if they do not exist, and sends COUNT
purchases through the real webhook view. The first one is by the buyer with number FIRST (default
0), if that is given too. Prints the path of the webhook.
"""

import os
import sys

from tests.bench import bodies

SECRET = "bench-hook-secret-that-only-benchmarks-know"


def build() -> None:
    """Build the shop; a purchase enrolls in the school's first course."""
    from integrations import credentials
    from integrations.models import Destination, Integration, Marketplace, Product
    from integrations.thinkific import catalog
    from integrations.thinkific.sandbox import SAMPLE_KEY
    from rules.actions import Action
    from rules.models import Rule, Scope
    from rules.triggers import Trigger

    shop = Marketplace.objects.create(name="Main shop")
    school = Integration(name="Art Academy", site="acme")
    credentials.save(school, SAMPLE_KEY)
    catalog.refresh(school)
    Rule.objects.create(
        marketplace=shop,
        scope=Scope.PRODUCT,
        product=Product.objects.named(shop.pk, "product", bodies.PRODUCT, ""),
        trigger=Trigger.PRODUCT_PURCHASED,
        integration=school,
        action=Action.CREATE_COURSE_ENROLLMENT,
        destination=Destination.objects.filter(integration=school, kind="course").earliest("pk"),
    )
    credentials.add_webhook_secret(shop, SECRET)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from integrations.models import Marketplace

    call_command("migrate", verbosity=0)
    if not Marketplace.objects.exists():
        build()
    path = f"/hooks/samcart/{SECRET}/"
    client = Client()
    count, first = (*map(int, sys.argv[1:]), 0)[:2]
    for number in range(first, first + count):
        body = bodies.purchase(number)
        answer = client.post(path, body, content_type="application/json")
        if answer.status_code != 200:
            raise SystemExit(f"The webhook answered {answer.status_code}.")
    print(path)


if __name__ == "__main__":
    main()
