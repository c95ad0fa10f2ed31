"""Courses and bundles that products may be about, by their names."""

from collections.abc import Iterable

from django.db.models import QuerySet

from integrations.models import Destination, Product
from rules.similar_names import SimilarNames

MOST = 10


def suggested(
    offered: QuerySet[Destination], products: Iterable[Product], like: str
) -> list[Destination]:
    """Return those whose names are like that of one of the products, at most MOST.

    They are in the order of `offered`. Names without the text `like` are left out. Takes two
    queries, none without a product.
    """
    names = {product.name for product in products}
    if not names:
        return []
    similar = SimilarNames({str(pk): name for pk, name in offered.values_list("pk", "name")})
    found = {key for name in names for key in similar.most_like(name)}
    return list(offered.filter(pk__in=found, name__icontains=like)[:MOST]) if found else []
