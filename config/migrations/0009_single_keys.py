from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("admit", "0008_last_visit"),
    ]

    operations = [
        migrations.AddField(
            model_name="preference",
            name="single_keys",
            field=models.BooleanField(db_default=True, default=True),
        ),
    ]
