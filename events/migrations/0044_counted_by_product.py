from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0043_kept_note"),
        ("integrations", "0019_samcart_name"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="eventlog",
            name="event_of_product",
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(
                fields=["product", "-received_at", "trigger", "status"], name="event_of_product"
            ),
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(
                condition=models.Q(("dealt_with_at", None), ("gave_nothing", True)),
                fields=["product", "-received_at", "-id"],
                name="event_gave_nothing_of_product",
            ),
        ),
    ]
