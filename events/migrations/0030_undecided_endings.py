"""Endings that broke on their day get the code by which a retry decides on them.

Until 0.9.0 they had that of actions which broke while they were carried out: a retry of those does
what was decided, and on these nothing has been.
"""

from typing import Any

from django.db import migrations


def rename(apps: Any, schema_editor: Any) -> None:
    runs = apps.get_model("events", "RuleRun").objects.filter(status="failed", code="broken")
    runs.filter(started_at=None).update(code="undecided")


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0029_run_per_form"),
    ]

    operations = [
        migrations.RunPython(rename, migrations.RunPython.noop),
    ]
