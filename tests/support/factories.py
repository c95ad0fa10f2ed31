"""Makes rows for tests, as few as possible and each valid by itself."""

from typing import Any

import factory

from integrations import credentials, secrets
from integrations.models import (
    CallBudget,
    Customer,
    Destination,
    FieldMapping,
    Integration,
    Marketplace,
    Product,
    ProfileField,
)
from integrations.notify_url import signature
from rules.actions import Action
from rules.models import Rule, Scope
from rules.triggers import Trigger

KEY = "0123456789abcdef0123456789abcdef"


class MarketplaceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Marketplace

    name = factory.Sequence(lambda n: f"Shop {n}")


class ProductFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Product

    marketplace = factory.SubFactory(MarketplaceFactory)
    # Far from the numbers that tests name.
    external_id = factory.Sequence(lambda n: str(7048001 + n))
    name = factory.Sequence(lambda n: f"Product {n}")


class CustomerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Customer

    email = factory.Sequence(lambda n: f"buyer{n}@example.com")
    email_as_sent = factory.SelfAttribute("email")
    first_name = "Dana"
    last_name = "Example"


class IntegrationFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Integration
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Art Academy {n}")
    site = factory.Sequence(lambda n: f"acme{n}")
    sealed_secret = factory.LazyFunction(lambda: secrets.seal(KEY))

    @factory.post_generation
    def budget(self: Any, create: bool, extracted: Any, **_: Any) -> None:
        CallBudget.objects.create(integration=self)


class ReceiverFactory(IntegrationFactory):
    """A Notify URL that no server answers."""

    name = factory.Sequence(lambda n: f"My CRM {n}")
    app = Integration.App.NOTIFY_URL
    site = factory.Sequence(lambda n: f"crm{n}.example.com")
    url = factory.LazyAttribute(lambda row: f"https://{row.site}/hooks/samcart")
    sealed_secret = factory.LazyFunction(lambda: secrets.seal(signature.new_secret()))


class DestinationFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Destination

    integration = factory.SubFactory(IntegrationFactory)
    kind = Destination.Kind.COURSE
    external_id = factory.Sequence(lambda n: 501 + n)
    name = factory.Sequence(lambda n: f"Course {n}")


class ProfileFieldFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ProfileField

    integration = factory.SubFactory(IntegrationFactory)
    external_id = factory.Sequence(lambda n: 31 + n)
    label = factory.Sequence(lambda n: f"Field {n}")
    field_type = "text"


class FieldMappingFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = FieldMapping

    integration = factory.SelfAttribute("profile_field.integration")
    profile_field = factory.SubFactory(ProfileFieldFactory)
    samcart_field = "Company"


class RuleFactory(factory.django.DjangoModelFactory):
    """A rule for every product, unless a product is given."""

    class Meta:
        model = Rule

    marketplace = factory.SubFactory(MarketplaceFactory)
    product = None
    scope = factory.LazyAttribute(lambda rule: Scope.PRODUCT if rule.product else Scope.GLOBAL)
    trigger = Trigger.PRODUCT_PURCHASED
    action = Action.CREATE_COURSE_ENROLLMENT
    destination = factory.SubFactory(DestinationFactory)
    integration = factory.SelfAttribute("destination.integration")


def connected(school_name: str, **facts) -> Integration:
    """Return an integration as the admin would save it."""
    integration = Integration(name=facts.pop("name", "Art Academy"), site=school_name, **facts)
    credentials.save(integration, KEY)
    return integration
