"""When a person was last on the Overview, so that it can say what others changed since."""

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

from config.models import Preference
from config.staff.preferences import ROW

# A visit is over after this time without a look at the Overview.
OVER = timedelta(minutes=30)
# A look is noted at most once in this time.
NOTED = timedelta(minutes=1)


def note(request: HttpRequest) -> datetime | None:
    """Note that the person looks at the Overview. Return when the visit before this one ended.

    None if this is the first one.
    """
    row: Preference = getattr(request, ROW)
    now, seen = timezone.now(), row.seen_at
    if seen is None or now - seen >= NOTED:
        if seen is not None and now - seen >= OVER:
            row.last_visit_at = seen
        seen_now = {"seen_at": now, "last_visit_at": row.last_visit_at}
        if not Preference.objects.filter(pk=row.pk).update(**seen_now):
            Preference.objects.get_or_create(user_id=row.pk, defaults=seen_now)
    return row.last_visit_at
