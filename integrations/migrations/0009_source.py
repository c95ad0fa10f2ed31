from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0008_notify_url"),
    ]

    operations = [
        migrations.AddField(
            model_name="marketplace",
            name="source",
            field=models.CharField(default="samcart", editable=False, max_length=20),
        ),
    ]
