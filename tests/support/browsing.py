"""A real Chromium on Admit's pages, for browser tests and screenshots. Loopback only."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

# Playwright runs an event loop in this thread, and Django would refuse its database there.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

# The address bar of each window would load two pages of its own, which nobody sees and which cost
# more than most pages of ours. Chromium reads the last list only: the rest repeats Playwright's.
OFF = [
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "TcpPortRandomizationWin",
    "ThirdPartyStoragePartitioning",
]
QUIET = [
    f"--disable-features={','.join(OFF)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
WIDE, NARROW = (1440, 900), (390, 844)
# The first draws no window around a page, so that its pages take half as much of a processor.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless; playwright brings none that could be fetched."""
    with chromiums() as running:
        yield running()


@contextlib.contextmanager
def chromiums() -> Iterator[Callable[[], Browser]]:
    """Gives one Chromium to all who ask, and another one once that has ended by itself."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise RuntimeError("Chromium is not here: sudo apt-get install chromium")
    with sync_playwright() as play:
        started: list[Browser] = []

        def running() -> Browser:
            if not started or not started[-1].is_connected():
                started.append(play.chromium.launch(executable_path=program, args=QUIET))
            return started[-1]

        try:
            yield running
        finally:
            for each in started:
                each.close()


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve the pages from this process on a free port; yield the address without a final slash."""
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    from config.wsgi import application

    class Silent(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadedWSGIServer(("127.0.0.1", 0), Silent)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Look:
    """How to look at a page: window size, light or dark, with or without scripts."""

    size: tuple[int, int] = WIDE
    dark: bool = False
    script: bool = True

    @property
    def name(self) -> str:
        return f"{self.size[0]}-{'dark' if self.dark else 'light'}"


LOOKS = [Look(size, dark) for size in (WIDE, NARROW) for dark in (False, True)]


@contextlib.contextmanager
def window(browser: Browser, look: Look, time_zone: str = "UTC") -> Iterator[BrowserContext]:
    """Open a separate window with its own cookies, on a machine in this time zone."""
    width, height = look.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if look.dark else "light",
        java_script_enabled=look.script,
        reduced_motion="reduce",
        timezone_id=time_zone,
    )
    context.set_default_timeout(15_000)
    try:
        yield context
    finally:
        context.close()


def sign_in(page: Page, address: str, user: str, password: str) -> None:
    page.goto(f"{address}/admin/login/?next=/admin/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    page.click("#login-form [type=submit]")
    page.wait_for_load_state("load")


def let_in(page: Page, address: str, user: str) -> None:
    """As `sign_in`, for tests that begin on a page of their own: its two pages are not opened."""
    from django.contrib.auth import get_user_model

    from tests.support.pages import client_of

    client = client_of(get_user_model().objects.get(username=user))
    session = client.cookies["sessionid"]
    page.context.add_cookies([{"name": session.key, "value": session.value, "url": address}])


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wide: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wide
