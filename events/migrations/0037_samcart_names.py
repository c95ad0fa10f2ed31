"""Note that a product which SamCart sent has SamCart's name: until now each sale set it."""

from typing import Any

from django.db import migrations
from django.db.models import Exists, F, OuterRef


def note_names(apps: Any, editor: Any) -> None:
    products = apps.get_model("integrations", "Product").objects
    events = apps.get_model("events", "EventLog").objects.filter(product=OuterRef("pk"))
    products.filter(Exists(events)).update(samcart_name=F("name"))


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0036_run_began"),
        ("integrations", "0019_samcart_name"),
    ]

    operations = [migrations.RunPython(note_names, migrations.RunPython.noop, elidable=True)]
