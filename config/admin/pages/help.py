"""Help: the seven questions that people ask of SamCart's Thinkific rules, answered for Admit."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from config.admin.parts.page import Page, render
from integrations.sentences import say

# The id of a part of the page, and its question as in the list at the top.
QUESTIONS = (
    ("test-orders", _("I placed a test order, and nothing shows in Thinkific")),
    ("missed", _("A customer did not get access")),
    ("not-listed", _("A course or bundle is not in the list")),
    ("integration", _("How do I edit, rename, refresh or delete an integration?")),
    ("cancel", _("Customers cancel inside Thinkific")),
    ("typing", _("I do not see a name in a list")),
    ("welcome", _("New students get no e-mail")),
)


def show(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "admin/help.html",
        title=say("Help"),
        questions=QUESTIONS,
        keep_days=settings.KEEP_EVENTS_DAYS,
        keep_years=0 if settings.KEEP_EVENTS_DAYS % 365 else settings.KEEP_EVENTS_DAYS // 365,
    )


PAGES = [Page("help/", "help", show, "")]
