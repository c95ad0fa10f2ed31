"""Events whose e-mail address cannot be used tell whom they name, and are found by it.

Filled for those that are there already, as long as what SamCart sent is kept.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

# The program's own, so that what is filled here is what it will look for.
from integrations.samcart.parser import SaleEvent, Unreadable, parse
from integrations.search_terms import terms_as_sent

# What stood at the end of the reason, and was no longer true once a person had given an address.
NOBODY = " So nobody could be enrolled or removed."


def fill(apps: Any, schema_editor: Any) -> None:
    event_model = apps.get_model("events", "EventLog")
    term_model = apps.get_model("events", "EventTerm")
    nameless = event_model.objects.filter(Q(customer=None) | Q(email_given_at__isnull=False))
    kept = nameless.filter(delivery__body_removed_at=None)
    for pk in list(kept.order_by("pk").values_list("pk", flat=True)):
        event = event_model.objects.select_related("delivery").get(pk=pk)
        sale = _sale(event)
        if sale is None or sale.email:
            continue
        event.email_as_sent = sale.email_as_sent
        event.name_as_sent = f"{sale.first_name} {sale.last_name}".strip()
        if event.email_given_at:
            event.reason = event.reason.replace(NOBODY, "")
        event.save(update_fields=["email_as_sent", "name_as_sent", "reason"])
        term_model.objects.bulk_create(
            term_model(event_id=pk, term=term.encode())
            for term in terms_as_sent(event.email_as_sent, event.name_as_sent)
        )


def _sale(event: Any) -> SaleEvent | None:
    sent = event.delivery
    try:
        sales = parse(bytes(sent.body), sent.content_type, sent.content_encoding)
    except Unreadable:
        return None
    return sales[event.line] if event.line < len(sales) else None


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0006_intake"),
    ]

    operations = [
        migrations.AddField(
            model_name="eventlog",
            name="email_as_sent",
            field=models.CharField(blank=True, editable=False, max_length=320),
        ),
        migrations.AddField(
            model_name="eventlog",
            name="name_as_sent",
            field=models.CharField(blank=True, editable=False, max_length=511),
        ),
        migrations.CreateModel(
            name="EventTerm",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "event",
                        "term",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("term", models.BinaryField()),
                (
                    "event",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="search_terms",
                        to="events.eventlog",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["term", "event"], name="event_by_term")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
