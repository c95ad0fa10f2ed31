from django.db import migrations, models

import rules.actions


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0001_first"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rule",
            name="action",
            field=models.CharField(choices=rules.actions.choices, max_length=40),
        ),
    ]
