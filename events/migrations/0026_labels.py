"""Names of models and fields, which people read in their own language; no table changes."""

from django.db import migrations, models

import rules.actions


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0025_sentences"),
    ]

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
                "verbose_name_plural": "events",
            },
        ),
        migrations.AlterModelOptions(
            name="rulerun",
            options={
                "permissions": [("retry_rulerun", "Can retry"), ("dismiss_rulerun", "Can dismiss")],
                "verbose_name": "action",
                "verbose_name_plural": "actions",
            },
        ),
        migrations.AlterField(
            model_name="rulerun",
            name="action",
            field=models.CharField(
                choices=rules.actions.choices, max_length=40, verbose_name="action"
            ),
        ),
    ]
