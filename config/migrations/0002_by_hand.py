from typing import Any

from django.db import migrations

from config.staff import roles


def let_roles(apps: Any, schema_editor: Any) -> None:
    """Only what is new: a person may have changed what the groups may do besides."""
    roles.add(apps, "events.by_hand_grant")


class Migration(migrations.Migration):
    dependencies = [("admit", "0001_roles"), ("events", "0013_by_hand")]

    operations = [migrations.RunPython(let_roles, migrations.RunPython.noop)]
