from typing import Any

import django.core.serializers.json
import django.db.models.functions.datetime
from django.db import migrations, models

# What may change an entry, and only inside the transaction in which AuditUnlock has a row. On
# SQLite a later migration that alters the table makes it again: it has to run `add` again.
ALLOWED = {"UPDATE": "erasure", "DELETE": "retention"}
SQLITE = """
CREATE TRIGGER integrations_audit_{name} BEFORE {what} ON integrations_auditentry
WHEN NOT EXISTS (SELECT 1 FROM integrations_auditunlock WHERE reason = '{reason}')
BEGIN SELECT RAISE(ABORT, 'Audit entries are only added.'); END
"""
POSTGRESQL_FUNCTION = """
CREATE FUNCTION integrations_audit_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM integrations_auditunlock WHERE reason = TG_ARGV[0]) THEN
        RAISE EXCEPTION 'Audit entries are only added.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$
"""
POSTGRESQL = """
CREATE TRIGGER integrations_audit_{name} BEFORE {what} ON integrations_auditentry
FOR EACH ROW EXECUTE FUNCTION integrations_audit_only_added('{reason}')
"""


def add(apps: Any, schema_editor: Any) -> None:
    on_sqlite = schema_editor.connection.vendor == "sqlite"
    if not on_sqlite:
        schema_editor.execute(POSTGRESQL_FUNCTION)
    for what, reason in ALLOWED.items():
        sql = SQLITE if on_sqlite else POSTGRESQL
        schema_editor.execute(sql.format(name=f"no_{what.lower()}", what=what, reason=reason))


def remove(apps: Any, schema_editor: Any) -> None:
    on_sqlite = schema_editor.connection.vendor == "sqlite"
    for what in ALLOWED:
        name = f"integrations_audit_no_{what.lower()}"
        where = "" if on_sqlite else " ON integrations_auditentry"
        schema_editor.execute(f"DROP TRIGGER {name}{where}")
    if not on_sqlite:
        schema_editor.execute("DROP FUNCTION integrations_audit_only_added()")


class Migration(migrations.Migration):
    dependencies = [("integrations", "0011_student_field")]

    operations = [
        migrations.CreateModel(
            name="AuditUnlock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("retention", "DELETE of what is too old"),
                            ("erasure", "UPDATE that takes a person's address out"),
                        ],
                        max_length=10,
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), db_index=True
                    ),
                ),
                ("who", models.CharField(db_index=True, max_length=320)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("place", models.CharField(blank=True, max_length=200)),
                ("act", models.CharField(db_index=True, max_length=40)),
                ("kind", models.CharField(blank=True, max_length=40)),
                ("number", models.CharField(blank=True, max_length=40)),
                ("name", models.TextField(blank=True)),
                (
                    "before",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True
                    ),
                ),
                (
                    "after",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True
                    ),
                ),
                ("note", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "change",
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["kind", "number", "id"], name="audit_of_subject")],
            },
        ),
        migrations.RunPython(add, remove),
    ]
