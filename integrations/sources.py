"""The sources of sale events, each with the function that reads its deliveries."""

from collections.abc import Callable

from integrations.samcart import parser
from integrations.samcart.parser import SaleEvent

# Takes body, content type and content encoding. Raises only Unreadable.
Reader = Callable[[bytes, str, str], list[SaleEvent]]

READERS: dict[str, Reader] = {"samcart": parser.parse}
