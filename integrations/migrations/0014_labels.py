"""Names of fields and models, which people read in their own language; no table changes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0013_replaced_users"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "default_permissions": ("view",),
                "verbose_name": "change",
                "verbose_name_plural": "changes",
            },
        ),
        migrations.AlterModelOptions(
            name="integration",
            options={"verbose_name": "integration", "verbose_name_plural": "integrations"},
        ),
        migrations.AlterModelOptions(
            name="marketplace",
            options={
                "permissions": [
                    ("see_address_marketplace", "Can see and renew the webhook address")
                ],
                "verbose_name": "SamCart account",
                "verbose_name_plural": "SamCart accounts",
            },
        ),
        migrations.AlterModelOptions(
            name="product",
            options={"verbose_name": "product", "verbose_name_plural": "products"},
        ),
        migrations.AlterModelOptions(
            name="profilefield",
            options={"verbose_name": "signup field", "verbose_name_plural": "signup fields"},
        ),
        migrations.AlterField(
            model_name="destination",
            name="integration",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="destinations",
                to="integrations.integration",
                verbose_name="integration",
            ),
        ),
        migrations.AlterField(
            model_name="destination",
            name="kind",
            field=models.CharField(
                choices=[("course", "Course"), ("bundle", "Bundle")],
                max_length=6,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="integration",
            name="app",
            field=models.CharField(
                choices=[("thinkific", "Thinkific"), ("notify_url", "Notify URL")],
                default="thinkific",
                max_length=20,
                verbose_name="app",
            ),
        ),
        migrations.AlterField(
            model_name="integration",
            name="name",
            field=models.CharField(max_length=100, unique=True, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="marketplace",
            name="name",
            field=models.CharField(max_length=100, unique=True, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="product",
            name="kind",
            field=models.CharField(
                choices=[("product", "Product"), ("course", "SamCart course")],
                default="product",
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="product",
            name="marketplace",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="products",
                to="integrations.marketplace",
                verbose_name="SamCart account",
            ),
        ),
        migrations.AlterField(
            model_name="product",
            name="name",
            field=models.CharField(max_length=255, verbose_name="name"),
        ),
    ]
