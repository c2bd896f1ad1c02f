"""The page in Chromium: what a user does, and what then is on the screen and on the server."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from browser.conftest import Site, Tab
from PIL import ImageDraw

from autopipe.registry import Registry
from autopipe_requests.pictures.reading import texts_of
from autopipe_requests.record import KEY


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red circle on white, of 64 pixels."""
    image = PIL.Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((16, 16, 47, 47), fill="red")
    file = tmp_path_factory.mktemp("files") / "circle.png"
    image.save(file)
    return file


def pixels(content: bytes) -> Any:
    return np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def described(tab: Tab, site: Site) -> list[dict[str, Any]]:
    """Return the tasks of the server that one of its models serves."""
    served = {str(task) for model in site.studio.models() for task in model.tasks}
    values = tab.page.eval_on_selector_all("#task input", "all => all.map(one => one.value)")
    assert served <= {*values}
    return [one for one in values if one in served]


def test_each_installed_task_draws(tab: Tab, site: Site, circle: Path) -> None:
    tasks = described(tab, site)
    assert {"text2image", "image2image", "inpaint"} <= {*tasks}
    for number, task in enumerate(tasks):
        if number:
            tab.choose(str(task))
        if tab.page.locator("#prompt").count():
            tab.write("prompt", "a blue circle on a white background")
        if tab.page.locator("#canvas").count():
            tab.load(circle)
            if task == "inpaint":
                tab.paint((0.3, 0.3, 0.7, 0.7))
        if tab.page.locator("#num_inference_steps").count():
            tab.write("num_inference_steps", "4")
        before = len(tab.pictures())
        assert tab.draw() == "", task
        assert len(tab.pictures()) == before + 1, task
    assert tab.foreign == []


def test_pictures_are_the_files_that_the_server_wrote(tab: Tab, site: Site, tmp_path: Path) -> None:
    tab.write("prompt", "a green star")
    tab.write("num_inference_steps", "3")
    tab.draw()
    got = tab.bytes_of(tab.pictures()[0])
    written = [file.read_bytes() for file in site.studio.settings.folder.rglob("*.png")]
    assert got in written
    (tmp_path / "got.png").write_bytes(got)
    assert '"a green star"' in texts_of(tmp_path / "got.png")[KEY]


def test_a_mask_drawn_with_the_mouse_repaints_that_part(tab: Tab, circle: Path) -> None:
    tab.choose("inpaint")
    tab.load(circle)
    tab.paint((0.05, 0.05, 0.35, 0.35))
    tab.write("prompt", "a blue square on a black background")
    assert tab.draw() == ""
    after = pixels(tab.bytes_of(tab.pictures()[0]))
    change = np.abs(after - pixels(circle.read_bytes())).mean(axis=2)
    painted, rest = change[4:20, 4:20].mean(), change[30:, 30:].mean()
    assert painted > 10
    assert rest < painted / 3


def test_a_drawn_picture_is_the_start(tab: Tab, site: Site) -> None:
    tab.choose("image2image")
    tab.page.click('#canvas button[aria-label="Brush"]')
    tab.paint((0.3, 0.3, 0.7, 0.7))
    tab.write("prompt", "a red circle on a white background")
    tab.write("strength", "0.1")
    assert tab.draw() == ""
    drawn = pixels(tab.bytes_of(tab.pictures()[0]))
    # The paper is white, and the strokes are not.
    assert drawn[26:38, 26:38].mean() < drawn[0:6, 0:6].mean() - 30


def test_cancel_ends_what_the_server_draws(tab: Tab, site: Site) -> None:
    tab.write("prompt", "a red circle")
    tab.write("num_inference_steps", "150")
    tab.write("images", "10")
    before = site.studio.stats().cancelled
    tab.page.click("#draw")
    tab.page.locator(".stage.drawing", has_text="Step ").wait_for()
    tab.page.click("#cancel")
    assert tab.ended() == "Cancelled."
    after = site.studio.stats()
    assert (after.cancelled, after.drawing, after.queued) == (before + 1, 0, 0)


def test_a_tab_draws_one_thing_at_a_time(tab: Tab, site: Site) -> None:
    tab.write("prompt", "a red circle")
    tab.write("num_inference_steps", "150")
    tab.write("images", "10")
    before = site.studio.stats()
    tab.page.click("#draw")
    tab.page.locator(".stage.drawing", has_text="Step ").wait_for()
    tab.choose("image2image")
    tab.page.click("#draw")
    tab.page.get_by_text("This page is drawing").wait_for()
    tab.page.click("#cancel")
    assert tab.ended() == "Cancelled."
    after = site.studio.stats()
    assert (after.cancelled, after.drawing, after.queued) == (before.cancelled + 1, 0, 0)


def test_a_closed_tab_cancels(site: Site, opened: Callable[..., Tab]) -> None:
    tab = opened(site)
    tab.write("prompt", "a red circle")
    tab.write("num_inference_steps", "150")
    tab.write("images", "10")
    before = site.studio.stats().cancelled
    tab.page.click("#draw")
    tab.page.locator(".stage.drawing", has_text="Step ").wait_for()
    tab.page.close()
    for _ in range(1200):
        if site.studio.stats().cancelled > before:
            break
        time.sleep(0.1)
    assert site.studio.stats().cancelled == before + 1


def test_settings_come_back_from_a_dropped_picture(tab: Tab, tmp_path: Path) -> None:
    tab.write("prompt", "a yellow star on a white background")
    tab.write("negative_prompt", "circles")
    tab.write("num_inference_steps", "7")
    tab.write("guidance_scale", "3.5")
    tab.write("seed", "1234")
    tab.draw()
    first = tab.bytes_of(tab.pictures()[0])
    (tmp_path / "star.png").write_bytes(first)
    tab.choose("image2image")
    for name, text in {"prompt": "other", "negative_prompt": "", "seed": "", "images": "2"}.items():
        tab.write(name, text)
    tab.write("num_inference_steps", "3")
    tab.page.set_input_files("#dropped input[type=file]", tmp_path / "star.png")
    tab.page.get_by_text("The settings are in the form").wait_for()
    tab.page.wait_for_function('document.querySelector("#seed textarea, #seed input").value')
    assert tab.page.locator('#task input[value="text2image"]').is_checked()
    names = ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "seed")
    assert [tab.entry(name).input_value() for name in names] == [
        "a yellow star on a white background", "circles", "7", "3.5", "1234",
    ]  # fmt: skip
    tab.draw()
    assert (pixels(tab.bytes_of(tab.pictures()[0])) == pixels(first)).all()


def test_settings_of_the_gallery_bring_the_canvas(tab: Tab, circle: Path) -> None:
    tab.choose("image2image")
    tab.load(circle)
    tab.write("prompt", "a blue circle")
    tab.write("num_inference_steps", "6")
    tab.draw()
    first = pixels(tab.bytes_of(tab.pictures()[0]))
    tab.choose("text2image")
    tab.page.click("#use")
    tab.page.get_by_text("The settings are in the form.").wait_for()
    tab.settle()
    tab.draw()
    assert (pixels(tab.bytes_of(tab.pictures()[0])) == first).all()


def test_a_grid_has_a_sheet_and_its_cells(tab: Tab) -> None:
    tab.write("prompt", "a red circle")
    tab.page.get_by_text("Grid", exact=True).click()
    for axis, name, values in (("rows", "Steps", "2, 3"), ("columns", "Seed", "1..3")):
        tab.page.click(f"#grid-{axis} input")
        choices = tab.page.locator(f"#grid-{axis}").get_by_role("option", name=name, exact=True)
        choices.click()
        tab.write(f"values-{axis}", values)
    assert tab.draw() == ""
    sheet, *cells = (tab.bytes_of(one) for one in tab.pictures())
    assert len(cells) == 6
    assert len({*cells}) == 6
    assert PIL.Image.open(io.BytesIO(sheet)).width > 3 * 64


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"prompt": ""}, "Prompt is empty"),
        ({"prompt": "a", "seed": "many"}, "Seed is a whole number"),
        ({"prompt": "a", "width": "100000"}, "pixels"),
        ({"prompt": "a", "num_inference_steps": "151"}, "at most 150"),
        ({"prompt": "a", "images": "11"}, "Images is from 1 to 10"),
        ({"prompt": "a", "images": "1.5"}, "Images is a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_place(tab: Tab, entries: dict[str, str], told: str) -> None:
    for name, text in entries.items():
        tab.write(name, text)
    tab.page.click("#draw")
    alert = tab.page.locator('.stage[role="alert"]')
    alert.wait_for()
    assert told in alert.inner_text()


def test_toys_appear_with_their_tasks(
    sites: Callable[..., Site], opened: Callable[..., Tab], toys: Registry
) -> None:
    found = {name: str(Path(name).resolve()) for name in ("film", "sing", "paint")}
    tab = opened(sites(toys, models=found))
    tab.choose("film")
    tab.write("prompt", "a film")
    tab.write("num_frames", "4")
    assert tab.draw() == ""
    film = PIL.Image.open(io.BytesIO(tab.bytes_of(tab.pictures()[0])))
    assert (film.format, getattr(film, "n_frames", 1)) == ("GIF", 4)
    tab.choose("sing")
    tab.write("prompt", "a song")
    assert tab.draw() == ""
    sound = tab.page.locator("#sound audio, #sound [src]").first
    sound.wait_for(state="attached")
    assert tab.errors == []


def test_keys_draw_and_cancel(tab: Tab, site: Site) -> None:
    tab.write("prompt", "a red circle")
    tab.write("num_inference_steps", "150")
    tab.write("images", "10")
    before = site.studio.stats().cancelled
    tab.entry("prompt").press("Control+Enter")
    tab.page.locator(".stage.drawing", has_text="Step ").wait_for()
    tab.page.keyboard.press("Escape")
    assert tab.ended() == "Cancelled."
    assert site.studio.stats().cancelled == before + 1


def test_a_telephone_shows_all_of_it(site: Site, opened: Callable[..., Tab]) -> None:
    tab = opened(site, 360, 740, has_touch=True)
    for task in ("image2image", "inpaint"):
        tab.choose(task)
        width = tab.page.evaluate("document.scrollingElement.scrollWidth")
        assert width <= 360
    draw = tab.page.locator("#draw").bounding_box()
    assert draw["height"] >= 40
    assert draw["y"] + draw["height"] <= 740  # It stays in view.
    tab.page.click("#draw")
    tab.page.wait_for_selector(".stage.problem")
    tab.page.wait_for_function(
        "draw => { const box = document.querySelector('.stage').getBoundingClientRect();"
        " return box.top >= 0 && box.bottom <= draw; }",
        arg=draw["y"],
    )  # What came of it comes into view.


def test_light_and_dark(site: Site, opened: Callable[..., Tab]) -> None:
    tab = opened(site, color_scheme="light")
    ink = 'getComputedStyle(document.querySelector("#head h1")).color'
    light = tab.page.evaluate(ink)
    tab.page.click("#dark")
    tab.page.wait_for_function(f"before => {ink} !== before", arg=light)
    dark = tab.page.evaluate(ink)
    tab.page.reload()
    tab.page.wait_for_selector("#draw")
    tab.page.wait_for_function(f"before => {ink} === before", arg=dark)
