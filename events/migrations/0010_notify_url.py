import uuid

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def note_what_gave_nothing(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """So far an event gave nothing exactly when no rule fitted it."""
    events = apps.get_model("events", "EventLog").objects.filter(status="no_rule")
    events.update(gave_nothing=True)


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0008_notify_url"),
        ("events", "0009_run_code"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="eventlog", name="event_gave_nothing"),
        migrations.AddField(
            model_name="eventlog",
            name="gave_nothing",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(note_what_gave_nothing, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(
                condition=models.Q(
                    ("dealt_with_at", None),
                    ("gave_nothing", True),
                    ("trigger", "product_purchased"),
                ),
                fields=["-received_at"],
                name="event_gave_nothing",
            ),
        ),
        # In two steps: the runs of before have no message, and so no number for one.
        migrations.AddField(
            model_name="rulerun",
            name="message_id",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="rulerun",
                    name="message_id",
                    field=models.UUIDField(default=uuid.uuid4, editable=False, null=True),
                ),
            ],
        ),
        migrations.AlterField(
            model_name="rulerun",
            name="destination_id",
            field=models.BigIntegerField(null=True, verbose_name="Thinkific ID"),
        ),
        migrations.AlterField(
            model_name="rulerun",
            name="site",
            field=models.CharField(max_length=253),
        ),
    ]
