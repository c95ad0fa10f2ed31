"""Names of fields and models, which people read in their own language; no table changes."""

import django.db.models.deletion
from django.db import migrations, models

import rules.actions


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0013_replaced_users"),
        ("rules", "0007_named_nothing"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="namedtype",
            options={"verbose_name": "named type"},
        ),
        migrations.AlterModelOptions(
            name="rule",
            options={"verbose_name": "rule", "verbose_name_plural": "rules"},
        ),
        migrations.AlterField(
            model_name="rule",
            name="action",
            field=models.CharField(
                choices=rules.actions.choices, max_length=40, verbose_name="action"
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="integration",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="rules",
                to="integrations.integration",
                verbose_name="integration",
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="product",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="rules",
                to="integrations.product",
                verbose_name="product",
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("product_purchased", "Product Purchased"),
                    ("product_refunded", "Product Refunded"),
                    ("product_partially_refunded", "Product Partially Refunded"),
                    ("subscription_canceled", "Subscription Canceled"),
                    ("subscription_charged", "Subscription Charged"),
                    ("subscription_charge_failed", "Subscription Charge Failed"),
                    ("subscription_delinquent", "Subscription Delinquent"),
                    ("subscription_recovered", "Subscription Recovered"),
                    ("subscription_restarted", "Subscription Restarted"),
                    ("subscription_completed", "Subscription Completed"),
                    ("course_student_added", "Student Added to Course"),
                    ("course_student_removed", "Student Removed from Course"),
                    ("course_started", "Course Started"),
                    ("course_finished", "Course Finished"),
                ],
                max_length=40,
                verbose_name="trigger",
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="ends_all",
            field=models.BooleanField(
                default=False, verbose_name="End it even if something else gave it"
            ),
        ),
    ]
