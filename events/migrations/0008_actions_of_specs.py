from django.db import migrations, models

import rules.actions


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0007_searchable_raw_addresses"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rulerun",
            name="action",
            field=models.CharField(choices=rules.actions.choices, max_length=40),
        ),
    ]
