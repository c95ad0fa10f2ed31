"""A course that Thinkific does not list is not gone: until now one mark said both."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0004_neutral_question"),
    ]

    operations = [
        migrations.RenameField("destination", "gone_at", "unlisted_at"),
        migrations.AddField(
            model_name="destination",
            name="gone_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="destination",
            name="by_hand",
            field=models.BooleanField(default=False),
        ),
    ]
