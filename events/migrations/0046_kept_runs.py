from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0045_delay_of_run"),
        ("integrations", "0019_samcart_name"),
        ("rules", "0008_labels"),
    ]

    operations = [
        # With the columns of its condition: else SQLite prefers the index by status.
        migrations.AddIndex(
            model_name="rulerun",
            index=models.Index(
                condition=models.Q(("code", "kept"), ("status", "done")),
                fields=["status", "code", "received_at"],
                name="run_kept",
            ),
        ),
    ]
