"""Where sale events come from: what reads the deliveries of each source."""

from collections.abc import Callable

from integrations.samcart import parser
from integrations.samcart.parser import SaleEvent

# Takes body, content type and content encoding. Raises Unreadable, and nothing else.
Reader = Callable[[bytes, str, str], list[SaleEvent]]

READERS: dict[str, Reader] = {"samcart": parser.parse}
