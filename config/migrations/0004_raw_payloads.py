from typing import Any

from django.db import migrations

from config.staff import roles


def let_roles(apps: Any, schema_editor: Any) -> None:
    """Viewer sees names and results; only what is new is changed in the other groups."""
    roles.add(apps, "integrations.view_auditentry")
    roles.revoke(apps, "events.view_delivery")


class Migration(migrations.Migration):
    dependencies = [("admit", "0003_people_data"), ("integrations", "0012_audit")]

    operations = [migrations.RunPython(let_roles, migrations.RunPython.noop)]
