"""Help: the seven questions that people ask of SamCart's Thinkific rules, answered for Admit."""

from django.http import HttpRequest, HttpResponse

from config.admin.parts.page import Page, render

# The part of the page, and the question as in the list above.
QUESTIONS = (
    ("test-orders", "I placed a test order, and nothing shows in Thinkific"),
    ("missed", "A customer did not get in"),
    ("not-listed", "A course or bundle is not in the list"),
    ("integration", "How do I edit, rename, refresh or delete an integration?"),
    ("cancel", "Customers cancel inside Thinkific"),
    ("typing", "I do not see a name in a list"),
    ("welcome", "New students get no e-mail"),
)


def show(request: HttpRequest) -> HttpResponse:
    return render(request, "admin/help.html", title="Help", questions=QUESTIONS)


PAGES = [Page("help/", "help", show, "")]
