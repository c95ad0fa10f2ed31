from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0005_not_listed"),
    ]

    operations = [
        migrations.AddField(
            model_name="learner",
            name="since",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
