"""The form: the components for the fields of a request, and the request that they say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from .canvas import saved
from .client import Upload
from .fields import FILES, IMAGES, Field, fields_of
from .grid import Grid, grid_of

CANVAS = "canvas"
"""The key of the editor's value among the values of a sheet."""

OFF = "none"
"""The value of choices for nothing."""

Reader: TypeAlias = Callable[[Any, dict[str, Any]], None]
"""A function that adds what the value of a component says to a request."""


class Mistake(ValueError):
    """What a user entered is not valid; the text is a sentence for users."""


@dataclass(frozen=True)
class Entered:
    """What a user entered.

    Attributes:
        request: what `POST /requests` takes, with `Upload` in place of files.
        grid: what its cells change; a single cell without changes if there is no grid.
        canvas: the value of the editor, if it has a picture.
    """

    request: Mapping[str, Any]
    grid: Grid
    canvas: Mapping[str, Any] | None = None


@dataclass
class Sheet:
    """What a form is made from.

    Attributes:
        task: the task, as the server describes it.
        installed: what can be named, as the server lists it.
        model: the name of the model.
        values: what is entered at first, as a request takes it, and `CANVAS`.
        number: differs for each sheet, so that an equal one still fills the form.
    """

    task: Mapping[str, Any]
    installed: Mapping[str, Any]
    model: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    number: int = field(default_factory=itertools.count().__next__)


class Form:
    """Components in the current context of Gradio.

    Args:
        sheet: what it is made from.
        actions: what comes after the usual fields, not yet rendered.

    Attributes:
        sheet: what it is made from.
        fields: the fields by name.
        components: the components, whose values `entered` takes in this order.
        readers: what the value of each component says.
    """

    def __init__(self, sheet: Sheet, actions: Any) -> None:
        self.sheet = sheet
        self.fields = {one.name: one for one in fields_of(sheet.task)}
        self.components: list[Any] = []
        self.readers: list[Reader] = []
        self._grid: list[tuple[int, int]] = []
        self._build(actions)

    def entered(self, values: Sequence[Any]) -> Entered:
        """Return what the values of the components say.

        Raises:
            Mistake: if one is not valid, or a required one is absent.
        """
        found: dict[str, Any] = {"task": self.sheet.task["name"]}
        if self.sheet.model:
            found["model"] = self.sheet.model
        try:
            rows = [(values[x], values[y]) for x, y in self._grid]
            grid = grid_of(rows, self._sweepable())
            for read, value in zip(self.readers, values):
                read(value, found)
        except ValueError as error:
            raise Mistake(str(error)) from None
        canvas = found.pop(CANVAS, None)
        if not found.keys().isdisjoint(("width", "height")):
            found.pop("size", None)
        swept = {one.name for one in grid.sweeps}
        for one in self.fields.values():
            if one.required and one.name not in found and one.name not in swept:
                raise Mistake(f"{one.label} is empty; {_what_to_do(one)}")
        return Entered(found, grid, canvas)

    def values(self, entered: Sequence[Any], folder: Path) -> dict[str, Any]:
        """Return the values for another sheet of what is entered, without what is not valid.

        Args:
            folder: where the picture of the canvas is written.
        """
        found: dict[str, Any] = {}
        for read, value in zip(self.readers, entered):
            with suppress(ValueError):
                read(value, found)
        found = {name: one for name, one in found.items() if not isinstance(one, Upload)}
        found.pop("size", None)
        if CANVAS in found:
            found[CANVAS] = saved(found[CANVAS], folder)
        return found

    # For the parts of the form

    def add(self, component: Any, read: Reader) -> Any:
        """Add a component, which is returned."""
        component.interactive = True  # Gradio guesses otherwise.
        self.components.append(component)
        self.readers.append(read)
        return component

    def simple(self, one: Field) -> None:
        """Add the component of a field that is not a file."""
        given = self.sheet.values.get(one.name, None if one.kind == "text" else one.default)
        self.add(component_of(one, given), into(one))

    def file(self, one: Field) -> None:
        """Add the component of a field that is a file."""
        label = one.label
        if one.kind in IMAGES:
            made: Any = gr.Image(
                label=label, type="filepath", image_mode=None, height=220,
                sources=["upload", "clipboard"], buttons=[],
            )  # fmt: skip
        elif one.kind == "audio":
            made = gr.Audio(label=label, type="filepath", sources=["upload"])
        else:
            made = gr.Video(label=label, sources=["upload"])

        def read(value: Any, found: dict[str, Any]) -> None:
            if value:
                found[one.name] = Upload(Path(value).read_bytes(), one.kind)

        self.add(made, read)

    # The components

    def _build(self, actions: Any) -> None:
        from .attachments import add_attachments, inputs_of
        from .easel import add_easel

        attached = inputs_of(self.sheet.installed)
        fields = [one for one in self.fields.values() if one.name not in attached]
        files = [one for one in fields if one.kind in FILES]
        plain = [one for one in fields if one.kind not in FILES]
        for one in add_easel(self, files):
            self.file(one)
        usual = [one for one in plain if one.usual]
        texts = [one for one in usual if one.kind in ("text", "json")]
        for one in texts:
            self.simple(one)
        with gr.Row(elem_classes="numbers"):
            for one in usual:
                if one not in texts:
                    self.simple(one)
            most = self.sheet.installed["limits"]["images"]
            self.simple(Field("images", "integer", default=1, least=1, most=most, usual=True))
        actions.render()
        add_attachments(self)
        with gr.Accordion("More settings", open=False):
            self._scheduler()
            for one in plain:
                if not one.usual:
                    self.simple(one)
        self._grids()

    def _scheduler(self) -> None:
        known = [*self.sheet.installed["schedulers"]]
        given = self.sheet.values.get("scheduler")
        name = given.get("name", "") if isinstance(given, Mapping) else given
        plain = str(name or "").removesuffix("Scheduler")
        made = gr.Dropdown(
            [("of the model", OFF), *known], value=plain if plain in known else OFF,
            label="Scheduler",
        )  # fmt: skip
        self.add(made, into(Field("scheduler", "choice")))

    def _sweepable(self) -> dict[str, Field]:
        found = {n: one for n, one in self.fields.items() if one.kind not in FILES}
        return found | {name: Field(name, "text") for name in ("scheduler", "model")}

    def _grids(self) -> None:
        with gr.Accordion("Grid", open=False):
            gr.Markdown(
                "A picture for each value, or for each pair of values, on one sheet. Write values "
                "as `3, 5, 7`, as `1..4`, or as a list in JSON.",
            )
            choices = [(one.label, name) for name, one in self._sweepable().items()]
            for axis in ("Rows", "Columns"):
                begin = len(self.components)
                with gr.Row():
                    name = gr.Dropdown(
                        [(OFF, ""), *choices], value="", label=axis, min_width=140,
                    elem_id=f"grid-{axis.lower()}",
                    )  # fmt: skip
                    values = gr.Textbox(
                        label=f"Values of the {axis.lower()}", min_width=140,
                    elem_id=f"values-{axis.lower()}",
                    )  # fmt: skip
                for component in (name, values):
                    self.add(component, _nothing)
                self._grid.append((begin, begin + 1))


def component_of(one: Field, value: Any) -> Any:
    """Return the component of a field that is not a file."""
    about: dict[str, Any] = {"label": one.label, "elem_id": one.name}
    if not one.usual:
        about["info"] = sentence(one.help)
    if one.kind == "flag":
        return gr.Checkbox(bool(value), **about)
    if one.kind == "choice":
        return gr.Dropdown([*one.choices], value=value, **about)
    if one.kind in ("integer", "number") and one.default is not None:
        # Without bounds, which Gradio would check in words of its own: readers check them.
        return gr.Number(value, step=1 if one.kind == "integer" else 0.1, min_width=110, **about)
    text = value if value is None or isinstance(value, str) else json.dumps(value)
    if one.kind in ("integer", "number"):  # Gradio's numbers can't be empty.
        hint = "random" if one.name == "seed" else "default"
        return gr.Textbox(text, placeholder=hint, min_width=110, max_lines=1, **about)
    if one.kind == "text":
        return gr.Textbox(text, lines=3 if one.required else 1, max_lines=12, **about)
    return gr.Textbox(text, placeholder="JSON", **about)


def into(one: Field) -> Reader:
    """Return the reader of a field that is not a file; its default says nothing."""

    def read(value: Any, found: dict[str, Any]) -> None:
        entered = None if value == OFF and one.kind == "choice" else one.value(value)
        if entered is not None and entered != one.default:
            found[one.name] = entered

    return read


def sentence(text: str) -> str | None:
    """Return a help text as it begins a line, or None for none."""
    return text[:1].upper() + text[1:] if text else None


def _nothing(value: Any, found: dict[str, Any]) -> None:
    """Read nothing; the grid reads these components."""


def _what_to_do(one: Field) -> str:
    if one.kind == "mask":
        return "paint over the part of the picture that is to be redrawn"
    return "load a picture or draw one" if one.kind in FILES else "write something"
