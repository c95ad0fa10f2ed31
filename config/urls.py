"""Addresses: the webhook, the admin, and those for monitors."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from config import health, metrics
from events.receiving.views import receive

handler400 = "config.admin.errors.bad_request"
handler403 = "config.admin.errors.forbidden"
handler404 = "config.admin.errors.not_found"
handler500 = "config.admin.errors.broken"

urlpatterns = [
    # All five are answered before any routing, by events.receiving.views.receive_first and
    # config.health.answer_first; they stand here so that their addresses can be built by name.
    path("hooks/samcart/<str:secret>/", receive, name="hook"),
    path("hooks/samcart/<str:secret>/<str:trigger>/", receive, name="hook-trigger"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.show, name="metrics"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
