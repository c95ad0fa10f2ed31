"""The proxy files of docs/, tested with the real programs where these are installed."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import live, wire
from tests.support.postgres import free_port

NAME = "admit.example.com"
HOOK = f"/hooks/samcart/{live.HOOK_SECRET}/"
# Debian keeps nginx off the PATH of everybody but root.
PLACES = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


@dataclass
class Proxy:
    """A running proxy: where it listens, and a context that trusts its certificate."""

    plain: int
    secure: int
    trusting: ssl.SSLContext
    folder: Path

    def connect(self) -> ssl.SSLSocket:
        line = socket.create_connection(("127.0.0.1", self.secure), timeout=30)
        return self.trusting.wrap_socket(line, server_hostname=NAME)

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] = b"", **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        line = http.client.HTTPSConnection(NAME, self.secure, timeout=30)
        line.sock = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            line.request(method, path, body, {"Host": NAME, **named})
            answer = line.getresponse()
            return answer, answer.read().decode()
        finally:
            line.close()

    def said(self) -> str:
        """Everything that the proxy wrote, into whatever file."""
        files = [path for path in self.folder.rglob("*") if path.suffix in {".log", ".out"}]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def nginx(folder: Path, admit: live.Installation, proxy: Proxy) -> list[str]:
    """The file as it is, but for ports and certificate, in the frame that Debian gives it."""
    text = (live.ROOT / "docs" / "nginx.conf").read_text(encoding="utf-8")
    live_folder = f"/etc/letsencrypt/live/{NAME}"
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{proxy.plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{proxy.secure} ssl;",
        "listen [::]:80;": "",
        "listen [::]:443 ssl;": "",
        f"{live_folder}/fullchain.pem": f"{folder}/server.pem",
        f"{live_folder}/privkey.pem": f"{folder}/server.pem",
        "127.0.0.1:8000": f"127.0.0.1:{admit.port}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    frame = f"""
        {"user root;" if os.geteuid() == 0 else ""}
        pid {folder}/nginx.pid;
        error_log {folder}/error.log;
        daemon off;
        events {{ }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxied;
            fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u;
            scgi_temp_path {folder}/s;
            {text}
        }}
    """
    (folder / "nginx.conf").write_text(frame, encoding="utf-8")
    return ["-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, admit: live.Installation, proxy: Proxy) -> list[str]:
    text = (live.ROOT / "docs" / "Caddyfile").read_text(encoding="utf-8")
    own = f"{{\n\tadmin off\n\thttp_port {proxy.plain}\n\thttps_port {proxy.secure}\n\tservers {{"
    for old, new in {
        "{\n\tservers {": own,
        f"{NAME} {{": f"{NAME} {{\n\ttls {folder}/server.pem {folder}/server.pem",
        "127.0.0.1:8000": f"127.0.0.1:{admit.port}",
        "read_body 30s": "read_body 12s",  # still longer than Admit waits
    }.items():
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "Caddyfile").write_text(text, encoding="utf-8")
    return ["run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


PROGRAMS = {"nginx": nginx, "caddy": caddy}


@pytest.fixture
def admit(tmp_path) -> Iterator[live.Installation]:
    with live.installation(tmp_path, PUBLIC_URL=f"https://{NAME}") as installed:
        yield installed


@pytest.fixture(params=PROGRAMS)
def proxy(request, tmp_path, admit) -> Iterator[Proxy]:
    program = shutil.which(request.param, path=PLACES)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path / "proxy"
    folder.mkdir()
    _, authority = wire.certificate(folder)
    trusting = ssl.create_default_context(cafile=str(authority))
    found = Proxy(free_port(), free_port(), trusting, folder)
    words = PROGRAMS[request.param](folder, admit, found)
    with (folder / "said.out").open("wb") as out:
        process = subprocess.Popen(
            [program, *words], stdout=out, stderr=out, env=os.environ | {"HOME": str(folder)}
        )
    try:
        live.until(lambda: answers(found, process), what=f"{request.param}: {found.said()}")
        yield found
    finally:
        process.terminate()
        process.wait(20)


def answers(proxy: Proxy, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, proxy.said()
    with contextlib.suppress(OSError), proxy.connect():
        return True
    return False


@pytest.fixture
def running(admit: live.Installation) -> live.Running:
    return admit.up("--no-worker")


def test_who_asks_by_http_is_sent_to_https(proxy):
    line = http.client.HTTPConnection("127.0.0.1", proxy.plain, timeout=30)
    line.request("GET", "/admin/?a=b", headers={"Host": NAME})
    answer = line.getresponse()
    assert answer.status in {301, 302, 308}
    assert re.fullmatch(rf"https://{NAME}(:\d+)?/admin/\?a=b", str(answer.getheader("Location")))
    line.close()


def test_a_browser_stays_with_https_and_signs_in_from_its_own_address(proxy, running):
    answer, page = proxy.ask("GET", "/admin/login/")
    assert answer.status == 200
    assert answer.getheader("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
    cookie = str(answer.getheader("Set-Cookie"))
    assert "Secure" in cookie
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    answer, page = proxy.ask(
        "POST",
        "/admin/login/",
        f"csrfmiddlewaretoken={token[1]}&username=eve@example.com&password=guessed".encode(),
        Content_Type="application/x-www-form-urlencoded",
        Cookie=cookie.partition(";")[0],
        Referer=f"https://{NAME}/admin/login/",
        X_Forwarded_For="198.51.100.1",
    )
    assert answer.status == 200
    assert "E-mail or password is wrong" in page
    # The address is the proxy's word, not the stranger's.
    assert "sign_in_failed address=127.0.0.1" in running.output()


def test_sales_come_through_however_they_are_sent(proxy, admit, running):
    assert proxy.ask("POST", HOOK, b'{"type": "Order"}')[0].status == 200
    assert proxy.ask("POST", HOOK, iter([b'{"type":', b' "Refund"}']))[0].status == 200
    assert proxy.ask("POST", f"/HOOKS//SamCart/{live.HOOK_SECRET}", b"{}")[0].status == 200
    assert proxy.ask("POST", HOOK, b" " * 2**20)[0].status == 200
    answer, page = proxy.ask("POST", HOOK, b" " * (2**20 + 1))
    assert (answer.status, page) == (413, "The body is larger than 1 MiB.\n")
    # Cut off while it is sent, or while its answer is read.
    with contextlib.suppress(OSError, http.client.HTTPException):
        # Caddy 2.6 takes its own refusal for a fault of Admit's.
        assert proxy.ask("POST", HOOK, b" " * 2**22)[0].status in {413, 502}
    assert len(admit.events()) == 4


@pytest.mark.slow
def test_who_sends_slowly_is_cut_off_and_told_nothing_untrue(proxy, running):
    head = f"POST {HOOK} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 50\r\n\r\nhalf"
    with proxy.connect() as slow:
        slow.settimeout(60)
        slow.sendall(head.encode())
        assert proxy.ask("POST", HOOK, b"{}")[0].status == 200
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = slow.recv(1000)  # raises TimeoutError when nobody cuts it off
    assert b" 200 " not in answer
    assert running.terminate() == 0
    assert "delivery_not_stored" not in running.output()


def test_no_file_of_the_proxy_tells_an_address_even_without_admit(proxy):
    assert proxy.ask("POST", HOOK, b"{}")[0].status == 502
    assert proxy.ask("POST", f"/Hook/{live.HOOK_SECRET}", b"{}")[0].status == 502
    assert proxy.ask("GET", "/admin/")[0].status == 502
    assert live.HOOK_SECRET not in proxy.said()
