"""Take the pictures of the page that the documentation shows.

    python tools/screenshots.py [FOLDER]

It serves the demo, draws in the page with Chromium, and writes `page-light.png`, `page-dark.png`,
`page-phone.png` and `page-phone-dark.png` into the folder (default: docs/pictures).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import PIL.Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.conftest import Tab, served
from support.browsing import browser

ROOT = Path(__file__).parents[1]


def take(tab: Tab, file: Path) -> None:
    """Write what is on the screen, with few colours, since documentation should be small."""
    tab.page.mouse.move(0, 0)
    tab.page.wait_for_timeout(1500)
    tab.page.screenshot(path=file)
    with PIL.Image.open(file) as image:
        image.convert("RGB").quantize(160).save(file, optimize=True)
    print(file)


def light(tab: Tab, folder: Path) -> None:
    """Text to image: several pictures, one of them in view."""
    tab.write("num_inference_steps", "30")
    for prompt, seed in (
        ("a blue square on a white background", "3"), ("a green star on a white background", "7"),
        ("a red circle on a white background", "1"),
    ):  # fmt: skip
        tab.write("prompt", prompt)
        tab.write("seed", seed)
        tab.draw()
    take(tab, folder / "page-light.png")


def dark(tab: Tab, folder: Path) -> None:
    """Inpainting: a picture of the gallery with a mask, and what came of it."""
    tab.write("prompt", "a red circle on a white background")
    tab.write("seed", "1")
    tab.draw()
    tab.page.click("#onto")
    tab.page.wait_for_selector("#draw.task-image2image")
    tab.page.wait_for_timeout(2000)
    tab.choose("inpaint")
    tab.page.wait_for_timeout(2000)
    tab.page.click('#canvas button[aria-label="Brush"]')
    tab.paint((0.25, 0.25, 0.75, 0.75))
    tab.write("prompt", "a yellow star on a white background")
    tab.draw()
    take(tab, folder / "page-dark.png")


def phone(tab: Tab, folder: Path) -> None:
    """Text to image on a small screen."""
    tab.write("prompt", "a green star on a white background")
    tab.write("seed", "7")
    tab.draw()
    take(tab, folder / "page-phone.png")


def phone_dark(tab: Tab, folder: Path) -> None:
    """Text to image on a small screen: the form."""
    tab.write("prompt", "a red circle on a white background")
    take(tab, folder / "page-phone-dark.png")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/pictures"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as site, browser() as opened:
        chrome: Any = opened
        for draw, width, height, scheme in (
            (light, 1440, 1000, "light"), (dark, 1440, 1250, "dark"),
            (phone, 360, 740, "light"), (phone_dark, 360, 740, "dark"),
        ):  # fmt: skip
            context = chrome.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            draw(Tab(context.new_page(), site.address), folder)
            context.close()


if __name__ == "__main__":
    main()
