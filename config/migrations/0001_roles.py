from typing import Any

from django.db import migrations

from config.staff import roles


def make_groups(apps: Any, schema_editor: Any) -> None:
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("integrations", "0002_admin"),
        ("rules", "0001_first"),
        ("events", "0002_admin"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
