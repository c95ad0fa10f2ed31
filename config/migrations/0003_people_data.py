from typing import Any

from django.db import migrations

from config.staff import roles


def let_roles(apps: Any, schema_editor: Any) -> None:
    """Only what is new: a person may have changed what the groups may do besides."""
    roles.add(apps, "events.export_eventlog")
    roles.add(apps, "events.erase_eventlog")


class Migration(migrations.Migration):
    dependencies = [("admit", "0002_by_hand"), ("events", "0021_sealed_and_erased")]

    operations = [migrations.RunPython(let_roles, migrations.RunPython.noop)]
