from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import Max


def note_what_is_not_sealed(apps: Any, schema_editor: Any) -> None:
    """Bodies from before are sealed little by little, while events are received."""
    tables = {"deliveries": "events.Delivery", "exchanges": "integrations.ApiCall"}
    for table, model in tables.items():
        last = apps.get_model(model)._default_manager.aggregate(last=Max("pk"))["last"]
        if last is not None:
            apps.get_model("events.Unsealed")._default_manager.create(table=table, last_id=last)


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0020_batch"),
        ("integrations", "0011_student_field"),
    ]

    operations = [
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                (
                    "erased_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Unsealed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "table",
                    models.CharField(
                        choices=[("deliveries", "Deliveries"), ("exchanges", "Exchanges")],
                        max_length=10,
                        unique=True,
                    ),
                ),
                ("reached_id", models.BigIntegerField(default=0)),
                ("last_id", models.BigIntegerField()),
            ],
        ),
        migrations.AlterModelOptions(
            name="eventlog",
            options={
                "permissions": [
                    ("rerun_eventlog", "Can run the rules again"),
                    ("dismiss_eventlog", "Can mark an event as dealt with"),
                    ("simulate_eventlog", "Can simulate"),
                    ("export_eventlog", "Can download all data of a person"),
                    ("erase_eventlog", "Can erase a person"),
                ],
                "verbose_name": "event",
            },
        ),
        migrations.AlterField(
            model_name="delivery",
            name="body",
            field=models.BinaryField(db_column="body"),
        ),
        migrations.RenameField(
            model_name="delivery",
            old_name="body",
            new_name="sealed_body",
        ),
        migrations.CreateModel(
            name="ErasureKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sealed", models.TextField(editable=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("pk", 1)), name="erasure_key_only_one"
                    )
                ],
            },
        ),
        migrations.RunPython(note_what_is_not_sealed, migrations.RunPython.noop),
    ]
