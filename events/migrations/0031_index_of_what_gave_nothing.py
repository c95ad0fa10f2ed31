from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0030_undecided_endings"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="eventlog", name="event_gave_nothing"),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(
                condition=models.Q(
                    ("dealt_with_at", None),
                    ("gave_nothing", True),
                    ("trigger", "product_purchased"),
                ),
                fields=["trigger", "-received_at", "-id"],
                name="event_gave_nothing",
            ),
        ),
    ]
