from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def note_delays(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Note the delay of endings that wait for a person; they are few, and found by an index."""
    runs = apps.get_model("events", "RuleRun").objects.using(editor.connection.alias)
    undecided = runs.filter(status__in=["held", "failed"], rule__delay_days__gt=0)
    for pk, days in undecided.values_list("pk", "rule__delay_days"):
        runs.filter(pk=pk).update(delay_days=days)


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0044_counted_by_product"),
        ("rules", "0008_labels"),
    ]

    operations = [
        migrations.AddField(
            model_name="rulerun",
            name="delay_days",
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.RunPython(note_delays, migrations.RunPython.noop),
    ]
