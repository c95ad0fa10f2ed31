"""Everything Admit knows of the outside: SamCart's side, Thinkific's side, and the calls."""

from integrations.models.calls import ApiCall, CallBudget, SiteAnswer
from integrations.models.samcart import (
    Customer,
    Marketplace,
    Product,
    SearchTerm,
    WebhookSecret,
)
from integrations.models.thinkific import (
    Destination,
    FieldMapping,
    Integration,
    Intent,
    Learner,
    ProfileField,
)

__all__ = [
    "ApiCall",
    "CallBudget",
    "Customer",
    "Destination",
    "FieldMapping",
    "Integration",
    "Intent",
    "Learner",
    "Marketplace",
    "Product",
    "ProfileField",
    "SearchTerm",
    "SiteAnswer",
    "WebhookSecret",
]
