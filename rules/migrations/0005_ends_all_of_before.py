from typing import Any

from django.db import migrations
from django.db.models import Q


def keep_meaning(apps: Any, schema_editor: Any) -> None:
    """What a purchase or a course ends is no access of that purchase: these rules meant any."""
    ending = apps.get_model("rules", "Rule").objects.filter(
        Q(trigger="product_purchased") | Q(trigger__startswith="course_"),
        action__in=["expire_course_enrollment", "expire_bundle_enrollment"],
    )
    ending.update(ends_all=True)


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0004_ends_all"),
    ]

    operations = [migrations.RunPython(keep_meaning, migrations.RunPython.noop)]
