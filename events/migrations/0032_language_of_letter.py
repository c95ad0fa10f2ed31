"""A letter of the owner's own says in which language it is.

Until now all that Admit added to it was in LANGUAGE_CODE, no matter what the owner had written.
"""

import re
from typing import Any

from django.conf import settings
from django.db import migrations, models

SPANISH = re.compile(r"\b(hola|gracias|saludos|estimad[oa]s?)\b", re.IGNORECASE)


def state_language(apps: Any, schema_editor: Any) -> None:
    for row in apps.get_model("events", "LetterTemplate").objects.all():
        row.language = "es" if SPANISH.search(row.text) else settings.LANGUAGE_CODE
        row.save(update_fields=["language"])


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0031_index_of_what_gave_nothing"),
    ]

    operations = [
        migrations.AddField(
            model_name="lettertemplate",
            name="language",
            field=models.CharField(default="", max_length=10),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="lettertemplate",
            name="text",
            field=models.TextField(blank=True),
        ),
        migrations.RunPython(state_language, migrations.RunPython.noop),
    ]
