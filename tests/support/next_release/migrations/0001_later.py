"""Changes the table that receives, and holds it for a while."""

import os
import time
from typing import Any

from django.db import migrations

from tests.support.next_release import SECONDS


def hold(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute("ALTER TABLE events_delivery ADD COLUMN of_next_release integer NULL")
    time.sleep(float(os.environ[SECONDS]))


class Migration(migrations.Migration):
    dependencies = [("events", "0001_first")]
    operations = [migrations.RunPython(hold)]
