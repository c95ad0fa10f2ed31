"""What customers are found by: a table of terms, filled for those who are there already."""

from itertools import islice
from typing import Any

import django.db.models.deletion
from django.db import migrations, models

# The program's own, so that what is filled here is what it will look for.
from integrations.search_terms import terms

AT_ONCE = 1000


def fill(apps: Any, schema_editor: Any) -> None:
    customer_model = apps.get_model("integrations", "Customer")
    term_model = apps.get_model("integrations", "SearchTerm")
    customers = customer_model.objects.order_by("pk")
    told = customers.values_list("pk", "email", "first_name", "last_name")
    rows = iter(told.iterator(chunk_size=AT_ONCE))
    while batch := list(islice(rows, AT_ONCE)):
        term_model.objects.bulk_create(
            term_model(customer_id=pk, term=term.encode())
            for pk, *names in batch
            for term in terms(*names)
        )


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0002_admin"),
    ]

    operations = [
        migrations.CreateModel(
            name="SearchTerm",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "customer",
                        "term",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("term", models.BinaryField()),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="search_terms",
                        to="integrations.customer",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["term", "customer"], name="customer_by_term")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
