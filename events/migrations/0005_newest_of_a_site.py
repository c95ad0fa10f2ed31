"""Find the newest actions of a site by an index, which takes the place of the foreign key's own.

That one is dropped by name, for by Django's AlterField SQLite would copy the table.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0004_fewer_indexes"),
        ("integrations", "0002_admin"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="rulerun",
            index=models.Index(fields=["integration", "-received_at", "-id"], name="run_of_site"),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "DROP INDEX IF EXISTS events_rulerun_integration_id_9fdd03ef",
                    # The way back does without: another one serves each look-up.
                    migrations.RunSQL.noop,
                )
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="rulerun",
                    name="integration",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="runs",
                        to="integrations.integration",
                    ),
                ),
            ],
        ),
    ]
