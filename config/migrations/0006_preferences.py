from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from config.staff import roles


def let_roles(apps: Any, schema_editor: Any) -> None:
    """Only what is new: a person may have changed what the groups may do besides."""
    roles.add(apps, "events.csv_eventlog")


class Migration(migrations.Migration):
    dependencies = [
        ("admit", "0005_sessions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("events", "0023_letters"),
    ]

    operations = [
        migrations.CreateModel(
            name="Preference",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("time_zone", models.CharField(blank=True, max_length=60)),
            ],
        ),
        migrations.RunPython(let_roles, migrations.RunPython.noop),
    ]
