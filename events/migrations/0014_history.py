from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models


def begin(apps: Any, schema_editor: Any) -> None:
    """Where there are events, the worker reads them before it decides anything."""
    events = apps.get_model("events", "EventLog").objects.count()
    if events:
        apps.get_model("events", "History").objects.create(pk=1, events=events)


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0013_by_hand"),
    ]

    operations = [
        migrations.CreateModel(
            name="History",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("events", models.PositiveBigIntegerField()),
                ("read", models.PositiveBigIntegerField(default=0)),
                ("reached_at", models.DateTimeField(null=True)),
                ("reached_id", models.BigIntegerField(default=0)),
                ("unclear", models.PositiveBigIntegerField(default=0)),
                (
                    "began_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name_plural": "history",
            },
        ),
        migrations.AddConstraint(
            model_name="history",
            constraint=models.CheckConstraint(
                condition=models.Q(("pk", 1)), name="history_only_one"
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("state__in", ["ended", "waived"])),
                fields=["decided_at", "id"],
                name="grant_over",
            ),
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
