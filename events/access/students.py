"""Students: customers who share one Thinkific user on a site count as one."""

from collections.abc import Iterable, Mapping

from integrations.models import Customer, ThinkificUser

Key = tuple[int | None, int | None]


def same_user(site: int, customer: Customer) -> set[int]:
    """Return the IDs of this customer and of all who are the same Thinkific user on the site."""
    return same_users([(site, customer.pk)])[site, customer.pk]


def same_users(whom: Iterable[Key]) -> Mapping[Key, set[int]]:
    """Return the same for many (site, customer) pairs, by pair. No customer gives an empty set."""
    pairs = set(whom)
    known = ThinkificUser.objects.filter(
        integration__in={site for site, _ in pairs}, customer__in={who for _, who in pairs}
    )
    users = {(each.integration_id, each.customer_id): each.user_id for each in known}
    sharing = ThinkificUser.objects.filter(
        integration__in={site for site, _ in users}, user_id__in=set(users.values())
    )
    customers: dict[tuple[int, int], set[int]] = {}
    for each in sharing:
        customers.setdefault((each.integration_id, each.user_id), set()).add(each.customer_id)
    found: dict[Key, set[int]] = {}
    for site, who in pairs:
        found[site, who] = {who} if who else set()
        if site and who and (site, who) in users:
            found[site, who] |= customers[site, users[site, who]]
    return found
