from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0008_actions_of_specs"),
    ]

    operations = [
        migrations.AddField(
            model_name="rulerun",
            name="code",
            field=models.CharField(blank=True, max_length=40),
        ),
    ]
