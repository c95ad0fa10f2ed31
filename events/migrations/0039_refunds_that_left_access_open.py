"""Mark refunds that left access open, also those for which a rule ended something else."""

from typing import Any

from django.db import migrations, models
from django.db.models import Exists, OuterRef, Q


def mark(apps: Any, editor: Any) -> None:
    refunds = apps.get_model("events", "EventLog").objects.filter(trigger="product_refunded")
    refunds.filter(gave_nothing=True).update(left_open=True)
    grants = apps.get_model("events", "Grant").objects
    open_ = grants.filter(state="active", source="purchase", marketplace=OuterRef("marketplace"))
    for name in ("order_id", "subscription_id"):
        same = open_.filter(~Q(**{name: ""}), **{name: OuterRef(name)})
        refunds.filter(Exists(same)).exclude(status="repeat").update(left_open=True)
    if apps.get_model("events", "History").objects.filter(done_at=None).exists():
        refunds.update(left_open=True)  # what their purchases gave is still to be read


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0038_refunds_that_ended_nothing"),
        ("integrations", "0019_samcart_name"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="eventlog", name="event_ended_nothing"),
        migrations.AddField(
            model_name="eventlog",
            name="left_open",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(mark, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(
                condition=models.Q(("left_open", True)),
                fields=["-received_at", "-id"],
                name="event_left_open",
            ),
        ),
    ]
