from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0002_admin"),
    ]

    operations = [
        migrations.AddField(
            model_name="learner",
            name="since",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
