from typing import Any

from django.db import migrations, models


def let_the_role_decide(apps: Any, schema_editor: Any) -> None:
    """A channel for e-mail that is as the role has it was most likely never touched."""
    mail = apps.get_model("events.AlertChannel")._default_manager.filter(kind="email")
    for owner in (True, False):
        mail.filter(enabled=owner, person__is_superuser=owner).update(enabled=None)


def let_the_row_decide(apps: Any, schema_editor: Any) -> None:
    open_ones = apps.get_model("events.AlertChannel")._default_manager.filter(enabled=None)
    for owner in (True, False):
        open_ones.filter(person__is_superuser=owner).update(enabled=owner)


class Migration(migrations.Migration):
    dependencies = [("events", "0021_sealed_and_erased")]

    operations = [
        migrations.AlterField(
            model_name="alertchannel",
            name="enabled",
            field=models.BooleanField(null=True),
        ),
        migrations.RunPython(let_the_role_decide, let_the_row_decide),
    ]
