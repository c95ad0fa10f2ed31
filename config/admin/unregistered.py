"""Unregisters the models of other apps that have no place in this admin."""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

# Schedule runs any dotted path, and Resubmit asks for no permission (seen in django-q2 1.11).
# Which of them django-q2 registers depends on the broker.
admin.site.unregister(
    [model for model in (Failure, OrmQ, Schedule, Success) if admin.site.is_registered(model)]
)
