import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Value
from django.db.models.functions import Replace


def rename_permissions(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """Who could look a student up still can: Django does not rename permissions with a model."""
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="integrations", codename__endswith="_learner"
    )
    permissions.update(codename=Replace("codename", Value("_learner"), Value("_thinkificuser")))


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0006_learner_since"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RenameModel("Learner", "ThinkificUser"),
        migrations.AlterField(
            model_name="thinkificuser",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="thinkific_users",
                to="integrations.customer",
            ),
        ),
        migrations.AlterField(
            model_name="thinkificuser",
            name="integration",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="thinkific_users",
                to="integrations.integration",
            ),
        ),
        migrations.AlterModelOptions(
            name="thinkificuser",
            options={
                "permissions": [("check_thinkificuser", "Can look a student up in Thinkific")]
            },
        ),
        migrations.RemoveConstraint(model_name="thinkificuser", name="learner_once"),
        migrations.AddConstraint(
            model_name="thinkificuser",
            constraint=models.UniqueConstraint(
                fields=("integration", "customer"), name="thinkific_user_once"
            ),
        ),
        migrations.RunPython(rename_permissions, migrations.RunPython.noop),
    ]
