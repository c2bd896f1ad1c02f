"""Each bug of meaning is found by the checks meant for it, and by no others."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

from autopipe.manifest import Family
from autopipe.tasks import Task
from autopipe_devkit.conformance.checks import OF_A_TASK, of_task
from autopipe_devkit.conformance.subject import Subject
from autopipe_devkit.conformance.verdict import Unjudged
from autopipe_devkit.scaffold import EXAMPLE

MEANING = {
    name
    for name, check in OF_A_TASK.items()
    if check.__module__.rpartition(".")[2] in ("effects", "directions", "regions")
}
SIZE = (16, 16)

Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def subjects(doodle: Family, tmp_path: Path) -> dict[str, Subject]:
    """The pipelines of the example, by task."""
    folder = EXAMPLE / "src/autopipe_doodle/demo"
    return {
        str(p.task): Subject(doodle, p, folder, tmp_path, Task(str(p.task)), size=SIZE)
        for p in doodle.pipelines
    }


def told_of(subject: Subject) -> dict[str, AssertionError]:
    """What the checks of meaning say of a pipeline, by the names of those that fail."""
    told = {}
    for name in MEANING & set(of_task(subject.task)):
        try:
            OF_A_TASK[name](subject)
        except AssertionError as error:
            told[name] = error
    return told


@pytest.mark.parametrize("task", ["text2image", "image2image", "inpaint"])
def test_what_is_right_passes_and_what_was_not_looked_at_is_told(
    task: str, subjects: dict[str, Subject]
) -> None:
    assert told_of(subjects[task]) == {}
    assert subjects[task].notes.unchecked == []


def calls_with(patch: pytest.MonkeyPatch, cls: Any, change: Change) -> None:
    """Make every call of `cls` one with other arguments."""
    original = cls.__call__

    @functools.wraps(original)
    def call(self: Any, **given: Any) -> Any:
        return original(self, **{**given, **change(given)})

    patch.setattr(cls, "__call__", call)


def alike(value: Any, given: Any) -> Any:
    """`value`, or a list of it as long as that which is given."""
    return [value] * len(given) if isinstance(given, list) else value


def always(**values: Any) -> Change:
    """These values instead of what is given."""
    return lambda given: {name: alike(one, given.get(name)) for name, one in values.items()}


def the_first(*names: str) -> Change:
    """Of a list the first for all."""
    return lambda given: {
        name: alike(given[name][0], given[name])
        for name in names
        if isinstance(given.get(name), list)
    }


def changed(name: str, change: Callable[[Any], Any]) -> Change:
    """One argument otherwise; of a list each one."""

    def apply(given: dict[str, Any]) -> dict[str, Any]:
        value = given.get(name)
        if value is None:
            return {}
        return {name: [change(one) for one in value] if isinstance(value, list) else change(value)}

    return apply


def swapped(given: dict[str, Any]) -> dict[str, Any]:
    return {"height": given.get("width"), "width": given.get("height")}


def the_seed_as_well(given: dict[str, Any]) -> dict[str, Any]:
    latents = given.get("latents")
    if latents is None:
        return {}
    return {"latents": latents + torch.randn(latents.shape, generator=given["generator"])}


def prompts_swapped(given: dict[str, Any]) -> dict[str, Any]:
    if given.get("negative_prompt") is None or given.get("guidance_scale", 2) <= 1:
        return {}
    return {"prompt": given["negative_prompt"], "negative_prompt": given["prompt"]}


def never_off(given: dict[str, Any]) -> dict[str, Any]:
    return {"guidance_scale": max(given.get("guidance_scale", 2.0), 1.5)}


def one_more(given: dict[str, Any]) -> dict[str, Any]:
    scale = given.get("guidance_scale", 2.0)
    return {"guidance_scale": scale + 1 if scale > 1 else scale}


def square(image: Any) -> Any:
    return image.resize(SIZE)


def always_half(given: dict[str, Any]) -> dict[str, Any]:
    images = given["image"]
    half = HALF.resize((images[0] if isinstance(images, list) else images).size)
    return {"mask_image": alike(half, images)}


GREY, HALF = Image.new("RGB", SIZE, (120, 90, 60)), Image.new("L", SIZE)
HALF.paste(255, (8, 0, 16, 16))

ARGUMENTS: list[tuple[str, Change, dict[str, str]]] = [
    ("text2image", always(prompt="a cat"), {
        "effects": "prompt has no effect in text2image",
        "guidance": "the prompt has no effect in text2image",
        "neighbours": "the second prompt of a list has no effect in text2image"}),
    ("text2image", changed("prompt", lambda text: text.rpartition(" ")[0]), {
        "effects": "the last word of prompt has no effect in text2image"}),
    ("text2image", the_first("prompt"), {"neighbours": "second prompt of a list has no effect"}),
    ("text2image", always(negative_prompt=""), {
        "effects": "negative_prompt has no effect in text2image",
        "neighbours": "second negative_prompt of a list has no effect"}),
    ("text2image", the_first("negative_prompt"), {"neighbours": "second negative_prompt of a"}),
    ("text2image", prompts_swapped, {"guidance": "guidance goes towards the negative_prompt"}),
    ("image2image", always(guidance_scale=7.5), {
        "effects": "guidance_scale has no effect in image2image",
        "guidance": "negative_prompt has an effect in image2image although guidance_scale is 1"}),
    ("text2image", one_more, {"guidance": "a guidance_scale of 1.001 acts in text2image as if"}),
    ("text2image", never_off, {"guidance": "negative_prompt has an effect in text2image"}),
    ("text2image", always(num_inference_steps=3), {
        "effects": "num_inference_steps has no effect in text2image",
        "guidance": "no network is used more often",
        "latents": "no network is used more often",
        "steps": "no network is used more often for more num_inference_steps in text2image"}),
    ("text2image", changed("num_inference_steps", lambda count: count + 1), {
        "steps": "num_inference_steps=2 makes text2image take 3 steps"}),
    ("text2image", swapped, {"size": r"height and width \(16, 32\) where height=32 and width=16"}),
    ("text2image", always(height=16, width=16), {"size": r"height and width \(16, 16\)"}),
    ("image2image", changed("image", square), {"size": r"of height and width \(16, 16\) from an"}),
    ("image2image", always(strength=0.5), {
        "effects": "strength has no effect in image2image",
        "steps": "num_inference_steps=4 makes image2image take 2 steps",
        "strength": "image2image departs no further from image"}),
    ("image2image", changed("strength", lambda strength: 1 - strength), {
        "strength": "image2image takes no step at a strength of 1.0"}),
    ("inpaint", always(strength=1.0), {
        "effects": "strength has no effect in inpaint",
        "strength": "inpaint doesn't start from image, even at a strength of 0.5"}),
    ("image2image", always(image=GREY), {
        "effects": "image has no effect in image2image",
        "neighbours": "the second image of a list has no effect",
        "size": "an image of",
        "strength": "image2image doesn't start from image"}),
    ("image2image", the_first("image"), {"neighbours": "second image of a list has no effect"}),
    ("inpaint", always_half, {
        "effects": "mask_image has no effect in inpaint",
        "neighbours": "the second mask_image of a list has no effect",
        "mask": "inpaint repaints no more where mask_image is all white"}),
    ("inpaint", changed("mask_image", ImageOps.invert), {
        "mask": "inpaint changes what mask_image leaves black"}),
    ("inpaint", changed("mask_image", lambda mask: mask.point(lambda _: 255)), {
        "effects": "mask_image has no effect in inpaint",
        "neighbours": "the second mask_image of a list has no effect",
        "mask": "inpaint changes what mask_image leaves black"}),
    ("inpaint", changed("mask_image", lambda mask: mask.point(lambda _: 0)), {
        "effects": "prompt has no effect in inpaint",
        "guidance": "the prompt has no effect in inpaint",
        "neighbours": "the second prompt of a list has no effect",
        "mask": "inpaint repaints nothing where mask_image is white",
        "several": "num_images_per_prompt repeats one result in inpaint"}),
    ("text2image", always(latents=None), {
        "effects": "latents has no effect in text2image",
        "latents": "text2image doesn't start from the latents that it is given"}),
    ("text2image", changed("latents", lambda latents: 3 * latents), {
        "latents": "text2image scales the latents that it is given, and not its own noise"}),
    ("text2image", the_seed_as_well, {"latents": "doesn't start from the latents"}),
    ("text2image", the_first("generator"), {
        "neighbours": "the second generator of a list has no effect"}),
    ("text2image", always(num_images_per_prompt=1), {
        "several": "num_images_per_prompt does not say how many text2image makes"}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "change", "expected"), ARGUMENTS)
def test_an_argument_without_its_effect_is_found(
    task: str,
    change: Change,
    expected: dict[str, str],
    subjects: dict[str, Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls_with(monkeypatch, subjects[task].cls, change)
    assert_told(subjects[task], expected)


def assert_told(
    subject: Subject, expected: dict[str, str], kind: type[Exception] = AssertionError
) -> None:
    """The checks that `expected` names fail, with these messages, and no others do."""
    told = told_of(subject)
    for name, message in expected.items():
        assert type(told.get(name)) is kind, name
        assert re.search(message, str(told[name]))
    assert set(told) == set(expected)


def test_every_check_of_meaning_is_tried() -> None:
    tried = [expected for *_, expected in (*ARGUMENTS, *INSIDE)]
    assert {name for expected in tried for name in expected} == MEANING


def part(name: str) -> Any:
    return importlib.import_module(f"autopipe_doodle.{name}")


def around_steps(patch: pytest.MonkeyPatch, name: str, change: Callable[..., Any]) -> None:
    """Put `change(original, self, ...)` in the place of a method that all tasks share."""
    steps = part("steps").DoodleSteps
    original = getattr(steps, name)
    patch.setattr(steps, name, lambda *given: change(original, *given))


def keeps_nothing(patch: pytest.MonkeyPatch) -> None:
    around_steps(patch, "_denoise", lambda original, *given: original(*given[:4]))


def keeps_nothing_at_last(patch: pytest.MonkeyPatch) -> None:
    def denoise(original: Any, self: Any, call: Any, latents: Any, timesteps: Any, keep: Any):
        last = len(timesteps) - 1
        return original(
            self, call, latents, timesteps,
            lambda step, time, found: found if step == last else keep(step, time, found),
        )  # fmt: skip

    around_steps(patch, "_denoise", denoise)


def keeps_another_image(patch: pytest.MonkeyPatch) -> None:
    pixels = part("images").pixels
    patch.setattr(part("inpaint"), "pixels", lambda *given: pixels(*given) * 0.9)


def keeps_grey(patch: pytest.MonkeyPatch) -> None:
    def denoise(original: Any, self: Any, call: Any, latents: Any, timesteps: Any, keep: Any):
        def grey(step: int, time: Any, found: torch.Tensor) -> Any:
            kept = keep(step, time, found)
            painted = keep(step, time, found + 1) != kept
            return torch.where(painted, kept, 0.0) if step + 1 == len(timesteps) else kept

        return original(self, call, latents, timesteps, grey)

    around_steps(patch, "_denoise", denoise)


def a_pixel_more(patch: pytest.MonkeyPatch) -> None:
    marked = part("images").marked
    patch.setattr(
        part("inpaint"),
        "marked",
        lambda *given: torch.nn.functional.max_pool2d(marked(*given), 3, stride=1, padding=1),
    )


def guided_at_first(patch: pytest.MonkeyPatch) -> None:
    def denoise(original: Any, self: Any, call: Any, *given: Any) -> Any:
        def off(step: int, time: Any, found: torch.Tensor) -> torch.Tensor:
            object.__setattr__(call, "guidance_scale", 1.0)
            return found

        return original(self, call, *given, off)

    around_steps(patch, "_denoise", denoise)


def the_same_noise_for_all(patch: pytest.MonkeyPatch) -> None:
    def noise(original: Any, self: Any, call: Any, *size: int) -> torch.Tensor:
        made: torch.Tensor = original(self, call, *size)
        several = isinstance(call.generator, list)
        return made if several else made[:1].expand(len(made), -1, -1, -1)

    around_steps(patch, "_noise", noise)


def neighbours_in_the_prediction(patch: pytest.MonkeyPatch) -> None:
    network = part("network").DoodleNetwork
    original = network.forward

    def forward(self: Any, sample: Any, time: Any, text: Any) -> torch.Tensor:
        return original(self, sample + 0.1 * sample.mean(0, keepdim=True), time, text)

    patch.setattr(network, "forward", forward)


def texts_of_a_batch_in_one(patch: pytest.MonkeyPatch) -> None:
    network = part("network").DoodleNetwork
    original = network.encode

    def encode(self: Any, texts: list[str]) -> torch.Tensor:
        found: torch.Tensor = original(self, texts)
        return found + found.mean(0, keepdim=True)

    patch.setattr(network, "encode", encode)


def noise_of_full_strength(patch: pytest.MonkeyPatch) -> None:
    scheduler = part("scheduler").DoodleScheduler
    original = scheduler.add_noise
    patch.setattr(
        scheduler,
        "add_noise",
        lambda self, picture, noise, time: original(self, picture, noise, self.timesteps[1]),
    )


def no_noise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(part("scheduler").DoodleScheduler, "add_noise", lambda self, picture, *a: picture)


def twice_the_cost(patch: pytest.MonkeyPatch) -> None:
    def denoise(original: Any, self: Any, call: Any, *given: Any) -> Any:
        if call.guidance_scale <= 1:
            original(self, call, *given)
        return original(self, call, *given)

    around_steps(patch, "_denoise", denoise)


INSIDE: list[tuple[str, Callable[[pytest.MonkeyPatch], None], dict[str, str]]] = [
    ("inpaint", keeps_nothing, {
        "effects": "mask_image has no effect in inpaint",
        "mask": "inpaint changes what mask_image leaves black",
        "neighbours": "the second mask_image of a list has no effect"}),
    ("inpaint", keeps_nothing_at_last, {"mask": "inpaint changes what mask_image leaves black"}),
    ("inpaint", keeps_another_image, {"mask": "inpaint changes the image where mask_image is"}),
    ("inpaint", keeps_grey, {"mask": "inpaint shows nothing of the image where mask_image is"}),
    ("inpaint", a_pixel_more, {"mask": "inpaint changes what mask_image leaves black"}),
    ("text2image", guided_at_first, {
        "guidance": "guidance_scale has no effect in the last step of text2image"}),
    ("text2image", the_same_noise_for_all, {
        "several": "num_images_per_prompt repeats one result in text2image"}),
    ("text2image", neighbours_in_the_prediction, {
        "neighbours": "the second generator of a list changes the first result"}),
    ("text2image", texts_of_a_batch_in_one, {
        "guidance": "a guidance_scale of 1.001 acts in text2image as if it were much larger",
        "neighbours": "the second prompt of a list changes the first result"}),
    ("image2image", noise_of_full_strength, {
        "strength": "image2image departs no further from image at a strength of 1.0 than at 0.5"}),
    ("image2image", no_noise, {
        "neighbours": "the second generator of a list has no effect",
        "several": "num_images_per_prompt repeats one result",
        "strength": "image2image departs no further from image"}),
    ("image2image", twice_the_cost, {
        "guidance": "a guidance_scale of 1 costs as much as one of 7.5 in image2image"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "broken", "expected"), INSIDE, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_bug_in_the_steps_is_found(
    task: str,
    broken: Callable[[pytest.MonkeyPatch], None],
    expected: dict[str, str],
    subjects: dict[str, Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch)
    assert_told(subjects[task], expected)


ALIKE = "as far as can be seen: the checkpoint's network answers alike whatever it is asked"
FLAT = "as far as can be seen: the checkpoint draws a picture of one colour"

ENDS = "as far as can be seen: every value of the checkpoint's picture is at the end of its range"

DULL: list[tuple[str, str, Any, dict[str, str]]] = [
    ("text2image", "leave.weight", 0.0, {
        "effects": f"prompt has no effect in text2image, {ALIKE}\n(.|\n)*guidance_scale has",
        "guidance": f"the prompt has no effect in text2image, {ALIKE}",
        "neighbours": f"the second prompt of a list has no effect in text2image(.|\n)*{ALIKE}"}),
    ("inpaint", "leave.weight", 0.0, {
        "effects": f"prompt has no effect in inpaint, {ALIKE}",
        "guidance": ALIKE,
        "mask": f"inpaint repaints nothing where mask_image is white, {ALIKE}",
        "neighbours": ALIKE}),
    ("text2image", "letters.weight", 0.0, {
        "effects": f"prompt has no effect in text2image, {ALIKE}$",
        "guidance": ALIKE,
        "neighbours": ALIKE}),
    ("text2image", "leave.bias", 1e6, {
        "effects": f"guidance_scale has no effect in text2image, {FLAT}",
        "guidance": FLAT,
        "neighbours": FLAT,
        "several": FLAT}),
    ("text2image", "leave.bias", torch.tensor([1e6, -1e6, 1e6]), {
        "effects": f"guidance_scale has no effect in text2image, {ENDS}",
        "guidance": ENDS,
        "neighbours": ENDS,
        "several": ENDS}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "weight", "value", "expected"), DULL)
def test_what_a_checkpoint_hides_is_not_judged(
    task: str,
    weight: str,
    value: Any,
    expected: dict[str, str],
    subjects: dict[str, Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Subject.load

    def dull(self: Subject, **changes: Any) -> Any:
        pipe: Any = load(self, **changes)
        with torch.no_grad():
            pipe.network.get_parameter(weight)[:] = value
        return pipe

    monkeypatch.setattr(Subject, "load", dull)
    assert_told(subjects[task], expected, Unjudged)
