from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0022_alerts_by_role")]

    operations = [
        migrations.AlterModelOptions(
            name="eventlog",
            options={
                "permissions": [
                    ("rerun_eventlog", "Can run the rules again"),
                    ("dismiss_eventlog", "Can mark an event as dealt with"),
                    ("simulate_eventlog", "Can simulate"),
                    ("export_eventlog", "Can download all data of a person"),
                    ("erase_eventlog", "Can erase a person"),
                    ("csv_eventlog", "Can download lists"),
                ],
                "verbose_name": "event",
            },
        ),
        migrations.CreateModel(
            name="LetterTemplate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.TextField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="letter_only_one")
                ],
            },
        ),
    ]
