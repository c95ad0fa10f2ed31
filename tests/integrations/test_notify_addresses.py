"""Which addresses Admit posts to, checked when saving and at each connection."""

import socket

import pytest

from integrations.calls import deadline
from integrations.calls.deadline import Addresses, LookUp
from integrations.errors import OutsideError, Retry
from integrations.notify_url.address_check import LONGEST, check_url, is_public
from integrations.notify_url.client import Client, HttpPost
from integrations.notify_url.signature import new_secret
from tests.support.receiver import Receiver
from tests.support.wire import in_a_new_thread

PUBLIC_4, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
PUBLIC = [
    PUBLIC_4,
    PUBLIC_6,
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "169.253.255.255",
    "223.255.255.255",
    "2600::1",
    f"::ffff:{PUBLIC_4}",
    "64:ff9b::5db8:d822",  # NAT64 of a public address
    "2002:5db8:d822::1",  # 6to4 of one
]
NOT_PUBLIC = [
    # This machine
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "0.1.2.3",
    "::1",
    "::",
    # Private networks
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fec0::1",
    # This link, and metadata of clouds
    "169.254.0.1",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    # Many, reserved, for documents, anycast of the nearest
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "ff0e::1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.9",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8::1",
    "2001::1",  # Teredo
    "4000::1",
    "5f00::1",
    "100::1",
    # The same in other clothes
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::10.0.0.1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    # No addresses
    "",
    "localhost",
    "127.1",
    "999.1.1.1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_on_the_public_internet_may_be_connected_to(address):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_may_be_connected_to(address):
    assert not is_public(address)


# At saving


def entry(
    address: str, port: int
) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, object]:
    """As getaddrinfo returns an address."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


def leads_to(*addresses: str) -> LookUp:
    """A resolver for which every name has these addresses."""
    return lambda host, port, seconds: [entry(each, port) for each in addresses]


def not_asked(host: str, port: int, seconds: float) -> Addresses:
    raise AssertionError(f"{host} was looked up")


NORMALIZED = [
    ("https://example.com/hook", "https://example.com/hook"),
    ("  https://example.com/hook\n", "https://example.com/hook"),
    ("HTTPS://Example.COM/Hook", "https://example.com/Hook"),
    ("https://example.com", "https://example.com/"),
    ("https://@example.com/", "https://example.com/"),
    ("https://example.com:443/", "https://example.com/"),
    ("https://example.com:8443/a?b=c&d=%2F", "https://example.com:8443/a?b=c&d=%2F"),
    ("https://example.com?b=c", "https://example.com/?b=c"),
    ("https://exämple.com/", "https://xn--exmple-cua.com/"),
    (f"https://{PUBLIC_4}/", f"https://{PUBLIC_4}/"),
    (f"https://[{PUBLIC_6}]:444/", f"https://[{PUBLIC_6}]:444/"),
]


@pytest.mark.parametrize(("entered", "stored"), NORMALIZED)
def test_an_address_is_stored_in_one_spelling(entered, stored):
    resolve = leads_to(PUBLIC_4, PUBLIC_6)

    assert check_url(entered, allow_private=False, resolve=resolve) == stored
    assert check_url(stored, allow_private=False, resolve=resolve) == stored


UNUSABLE = "not an address on the web"
REFUSED = [
    ("", "Enter the address of the receiver"),
    ("   ", "Enter the address of the receiver"),
    ("example.com/hook", UNUSABLE),
    ("//example.com/hook", UNUSABLE),
    ("ftp://example.com", UNUSABLE),
    ("javascript:alert(1)", UNUSABLE),
    ("file:///etc/passwd", UNUSABLE),
    ("https://", UNUSABLE),
    ("https:///hook", UNUSABLE),
    ("https://example.com:0/", UNUSABLE),
    ("https://example.com:99999/", UNUSABLE),
    ("https://example.com:port/", UNUSABLE),
    ("https://[::1", UNUSABLE),
    ("https://exa mple.com/", UNUSABLE),
    ("https://example.com/a b", UNUSABLE),
    ("https://example.com/a\r\nX-Evil: 1", UNUSABLE),
    ("https://example.com/\x00", UNUSABLE),
    ("https://example.com\\@127.0.0.1/", UNUSABLE),
    (f"https://{'x' * 64}.{'☃' * 70}.com/", UNUSABLE),
    ("http://example.com/", "must begin with https://"),
    ("https://ann:word@example.com/", "must not contain a user name or a password"),
    ("https://example.com/#part", "Leave out the #"),
    ("https://example.com/#", "Leave out the #"),
    ("https://example.com/" + "x" * LONGEST, "too long"),
]


@pytest.mark.parametrize(("entered", "words"), REFUSED)
def test_what_is_no_address_of_a_receiver_is_refused_in_words_before_any_look_up(entered, words):
    with pytest.raises(ValueError, match=r"\.$") as error:
        check_url(entered, allow_private=False, resolve=not_asked)

    assert words in str(error.value)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_into_a_private_network_is_refused(address):
    for addresses in ([address], [PUBLIC_4, address], [address, PUBLIC_6]):
        with pytest.raises(ValueError, match="is not on the public internet") as error:
            check_url("https://example.com/", allow_private=False, resolve=leads_to(*addresses))
        assert "ALLOW_PRIVATE_NOTIFY_URLS=true" in str(error.value)
        assert address not in str(error.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:7f00:1]",
    ],
)
def test_numbers_in_any_spelling_are_refused_when_they_are_this_machine(host):
    with pytest.raises(ValueError, match="is not on the public internet"):
        check_url(f"https://{host}/", allow_private=False)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror("Name or service not known"), "example.com was not found (DNS)"),
        (UnicodeError("label too long"), "example.com was not found (DNS)"),
        (TimeoutError(), "example.com could not be looked up within 5 seconds (DNS)"),
    ],
)
def test_a_name_that_cannot_be_looked_up_now_is_refused(error, words, allow_private):
    def resolve(host: str, port: int, seconds: float) -> Addresses:
        raise error

    with pytest.raises(ValueError, match=r"\.$") as caught:
        check_url("https://example.com/", allow_private=allow_private, resolve=resolve)
    assert words in str(caught.value)


def test_a_name_without_addresses_is_not_public():
    with pytest.raises(ValueError, match="is not on the public internet"):
        check_url("https://example.com/", allow_private=False, resolve=leads_to())


@pytest.mark.parametrize(
    ("entered", "stored"),
    [
        ("http://127.0.0.1:8099/hook", "http://127.0.0.1:8099/hook"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("https://10.0.0.1/", "https://10.0.0.1/"),
    ],
)
def test_with_the_setting_http_and_private_networks_are_allowed(entered, stored):
    assert check_url(entered, allow_private=True) == stored


# At connecting


def post(
    url: str, *, resolve: LookUp = deadline.look_up, allow_private: bool = False
) -> int | OutsideError:
    """The status of a message to this address, or what it ended in."""
    client = Client(
        url=url,
        secret=new_secret(),
        deadline=5.0,
        version="1.2.3",
        allow_private=allow_private,
        resolve=resolve,
    )
    try:
        return client.send(HttpPost("id", b"{}", "", "", {})).status
    except OutsideError as error:
        return error


def assert_not_allowed(outcome: int | OutsideError) -> None:
    assert isinstance(outcome, Retry)
    assert (outcome.code, outcome.status) == ("address_not_allowed", None)
    assert "ALLOW_PRIVATE_NOTIFY_URLS=true" in outcome.message
    assert outcome.goes_on == "Admit tries again by itself."


def first_then(first: LookUp, then: LookUp) -> LookUp:
    """A resolver that answers once as `first` does, and from then on as `then` does."""
    turns = [first]

    def resolve(host: str, port: int, seconds: float) -> Addresses:
        return (turns.pop() if turns else then)(host, port, seconds)

    return resolve


def test_a_name_that_turns_private_after_it_was_saved_is_not_connected_to():
    with Receiver() as receiver:
        resolve = first_then(leads_to(PUBLIC_4), leads_to("127.0.0.1"))
        url = f"https://example.com:{receiver.port}/hook"

        assert check_url(url, allow_private=False, resolve=resolve) == url
        assert_not_allowed(post(url, resolve=resolve))

    assert receiver.connections == 0


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1"]
)
def test_no_private_address_is_connected_to(address):
    with Receiver() as receiver:
        url = f"https://example.com:{receiver.port}/hook"
        assert_not_allowed(post(url, resolve=leads_to(address)))
        assert_not_allowed(post(url, resolve=leads_to(address, PUBLIC_4)))

    assert receiver.connections == 0


def test_a_name_is_looked_up_once_and_that_address_is_connected_to():
    looked_up: list[str] = []

    def resolve(host: str, port: int, seconds: float) -> Addresses:
        looked_up.append(host)
        return [entry("127.0.0.1", port)]

    with Receiver() as receiver:
        url = f"http://example.com:{receiver.port}/hook"
        outcome = post(url, resolve=resolve, allow_private=True)

    assert outcome == 200
    assert looked_up == ["example.com"]
    assert receiver.requests[0].headers["host"] == f"example.com:{receiver.port}"


def test_an_address_in_numbers_is_checked_at_connecting_too():
    with Receiver() as receiver:
        assert_not_allowed(post(f"https://127.0.0.1:{receiver.port}/"))
        assert_not_allowed(post(f"https://2130706433:{receiver.port}/"))

    assert receiver.connections == 0


def test_http_is_not_spoken_any_more_when_the_setting_is_taken_back():
    with Receiver() as receiver:
        assert post(receiver.url, allow_private=True) == 200
        assert_not_allowed(post(receiver.url))

    assert len(receiver.requests) == 1


def test_an_open_connection_is_not_reused_by_a_call_that_may_not_connect_there(trusted):
    def posts() -> list[int | OutsideError]:
        return [post(receiver.url, allow_private=allowed) for allowed in (True, True, False)]

    with Receiver(tls=trusted) as receiver:
        first, second, third = in_a_new_thread(posts)

    assert (first, second) == (200, 200)
    assert_not_allowed(third)
    assert receiver.connections == 1
    assert len(receiver.requests) == 2
