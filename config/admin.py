"""The admin as a whole: its names, and what is not shown."""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

# Schedule runs any dotted path, and Resubmit asks for no permission (seen in django-q2 1.11).
admin.site.unregister([Failure, OrmQ, Schedule, Success])

admin.site.site_header = admin.site.site_title = "Admit"
admin.site.index_title = "SamCart buyers into Thinkific courses"
