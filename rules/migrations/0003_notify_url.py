import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0008_notify_url"),
        ("rules", "0002_actions_of_specs"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rule",
            name="destination",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="rules",
                to="integrations.destination",
                verbose_name="course or bundle",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("destination", None), ("scope", "product")),
                fields=("product", "trigger", "integration", "action"),
                name="product_rule_once_no_target",
                violation_error_message="This product has this very rule already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("destination", None), ("scope", "global")),
                fields=("marketplace", "trigger", "integration", "action"),
                name="global_rule_once_no_target",
                violation_error_message="There is this very global rule already.",
            ),
        ),
    ]
