"""Everything Admit knows about the outside: SamCart, Thinkific, receivers, and calls to them."""

from integrations.models.api_call import ApiCall
from integrations.models.audit import Act, AuditEntry
from integrations.models.call_budget import CallBudget, SiteAnswer
from integrations.models.integration import Integration
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
    Intent,
    ProfileField,
    ThinkificUser,
)

__all__ = [
    "Act",
    "ApiCall",
    "AuditEntry",
    "CallBudget",
    "Customer",
    "Destination",
    "FieldMapping",
    "Integration",
    "Intent",
    "Marketplace",
    "Product",
    "ProfileField",
    "SearchTerm",
    "SiteAnswer",
    "ThinkificUser",
    "WebhookSecret",
]
