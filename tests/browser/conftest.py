"""Pages in a browser, of servers in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.browsing import browser as chromium
from support.toys import toys  # noqa: F401

from autopipe.registry import Registry
from autopipe_serve.app import create_app
from autopipe_serve.server import serving
from autopipe_serve.settings import Settings
from autopipe_serve.studio import Studio
from autopipe_ui.app import create_page

PATIENCE = 45_000
"""The milliseconds for which a test waits; what it waits for comes much sooner."""

COUNTS = """
window.drawings = 0;
let begun = false;
new MutationObserver(() => {
  const drawing = document.querySelector(".stage.drawing") !== null;
  if (drawing && !begun) window.drawings += 1;
  begun = drawing;
}).observe(document, { childList: true, subtree: true });
"""
"""A script that counts how often something was drawn, which may take less than a look at it."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


class Site:
    """A page, and the server behind it.

    Attributes:
        address: of the page.
        studio: what draws.
    """

    def __init__(self, address: str, studio: Studio) -> None:
        self.address, self.studio = address, studio


@contextmanager
def served(folder: Path, registry: Registry | None = None, **given: Any) -> Iterator[Site]:
    """Context manager with a page and a server of some settings, whose files are in `folder`."""
    app = create_app(Settings(folder=folder / "results", **given), registry=registry)
    with serving(app) as port:
        page = create_page(f"http://127.0.0.1:{port}", folder)
        page.state.closing = app.state.closing
        with serving(page, patient=False) as at:
            yield Site(f"http://127.0.0.1:{at}", app.state.studio)


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """A function that serves a page for settings."""
    with ExitStack() as stack:

        def make(registry: Registry | None = None, **given: Any) -> Site:
            return stack.enter_context(served(tmp_path_factory.mktemp("site"), registry, **given))

        yield make


@pytest.fixture(scope="session")
def site(sites: Callable[..., Site]) -> Site:
    """A page with the demos of what is installed."""
    return sites()


class Tab:
    """An open page.

    Attributes:
        page: the page, by Playwright.
        foreign: the addresses on other machines that it asked for.
        errors: the errors of its scripts.
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.foreign: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", self._asked)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.add_init_script(COUNTS)
        page.goto(address)
        page.wait_for_selector("#draw")

    def _asked(self, request: Any) -> None:
        local = ("http://127.0.0.1:", "http://localhost:", "data:", "blob:")
        if not request.url.startswith(local):
            self.foreign.append(request.url)

    def choose(self, task: str) -> None:
        """Choose a task, and wait for its form."""
        self.page.locator(f'#task input[value="{task}"]').check()
        self.page.wait_for_selector(f"#draw.task-{task}")

    def write(self, field: str, text: str) -> None:
        """Write into a field."""
        self.entry(field).fill(text)

    def entry(self, field: str) -> Any:
        """Return the entry of a field."""
        return self.page.locator(f"#{field} textarea, #{field} input").first

    def draw(self) -> str:
        """Draw, wait for the end, and return what the page then says."""
        before = self.page.evaluate("window.drawings")
        self.page.click("#draw")
        self.page.wait_for_function("before => window.drawings > before", arg=before)
        return self.ended()

    def ended(self) -> str:
        """Wait for the end of what is being drawn, and return what the page then says."""
        self.page.wait_for_selector(".stage.idle, .stage.problem", state="attached")
        return str(self.page.locator("#stage .stage").inner_text()).strip()

    def pictures(self) -> list[str]:
        """Return the addresses of the pictures in the gallery, the latest first."""
        found = self.page.eval_on_selector_all(
            "#gallery .thumbnails img", "all => all.map(one => one.src)"
        )
        return [str(one) for one in found]

    def bytes_of(self, address: str) -> bytes:
        """Return what is at an address, as the browser gets it."""
        return bytes(self.page.request.get(address).body())

    def load(self, file: Path) -> None:
        """Load a picture onto the canvas."""
        self.settle()
        self.page.set_input_files("#canvas input[type=file]", file)
        self.page.wait_for_selector('#canvas button[aria-label="Brush Size"]')

    def settle(self) -> None:
        """Wait until the canvas is ready, which it doesn't tell."""
        self.page.wait_for_selector("#canvas canvas")
        self.page.wait_for_timeout(2000)

    def paint(self, area: tuple[float, float, float, float]) -> None:
        """Paint over a part of the canvas: left, upper, right and lower, of its picture, 0 to 1."""
        box = self.page.locator("#canvas canvas").first.bounding_box()
        # The picture is a square in the middle, with the margin that its editor leaves.
        side = min(box["width"], box["height"]) * 0.82
        x0, y0 = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
        left, upper, right, lower = (side * one for one in area)
        mouse = self.page.mouse
        mouse.move(x0 + left, y0 + upper)
        mouse.down()
        for turn in range(5):
            y = y0 + upper + (lower - upper) * turn / 4
            ends = (right, left) if turn % 2 == 0 else (left, right)
            mouse.move(x0 + ends[1], y, steps=3)
            mouse.move(x0 + ends[0], y, steps=8)
        mouse.up()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Tab]]:
    """A function that opens a page; all tabs are closed at the end."""
    contexts = []

    def open_page(site: Site, width: int = 1440, height: int = 1200, **how: Any) -> Tab:
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        return Tab(context.new_page(), site.address)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def tab(site: Site, opened: Callable[..., Tab]) -> Tab:
    return opened(site)
