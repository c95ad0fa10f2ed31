from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0007_thinkific_user"),
    ]

    operations = [
        # Several Notify URLs may be on one host.
        migrations.RemoveConstraint(model_name="integration", name="site_once"),
        migrations.AddField(
            model_name="integration",
            name="url",
            field=models.CharField(blank=True, default="", max_length=500, verbose_name="URL"),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="integration",
            name="app",
            field=models.CharField(
                choices=[("thinkific", "Thinkific"), ("notify_url", "Notify URL")],
                default="thinkific",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="integration",
            name="site",
            field=models.CharField(max_length=253, verbose_name="Site URL"),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=models.UniqueConstraint(
                condition=models.Q(("app", "thinkific")),
                fields=("app", "site"),
                name="site_once",
                violation_error_message="This Thinkific site is connected already.",
            ),
        ),
        migrations.AlterField(
            model_name="callbudget",
            name="blocked",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Open"),
                    ("key", "Key rejected"),
                    ("limit", "Limit reached"),
                    ("away", "Cannot be reached"),
                ],
                default="",
                max_length=5,
            ),
        ),
    ]
