"""The form: the components for the fields of a request, and the request that they say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from .canvas import fitted, mask_in, picture_in, png_of
from .fields import FILES, IMAGES, Field, field_of, fields_of
from .grid import Grid, grid_of

SLOTS = 4
"""The number of adapters that a request has at most on the page."""

_CANVAS = (512, 512)
_OFF = "none"


class Mistake(ValueError):
    """What a user entered is not valid; the text is a sentence for users."""


@dataclass(frozen=True)
class Upload:
    """A file of a request.

    Attributes:
        content: its bytes.
        kind: such as `image`.
    """

    content: bytes
    kind: str


@dataclass(frozen=True)
class Entered:
    """What a user entered.

    Attributes:
        request: what `POST /requests` takes, with `Upload` in place of files.
        grid: what its cells change; a single cell without changes if there is no grid.
    """

    request: Mapping[str, Any]
    grid: Grid


@dataclass
class Sheet:
    """What a form is made from.

    Attributes:
        task: the task, as the server describes it.
        installed: what can be named, as the server lists it.
        model: the name of the model.
        values: what is entered at first, as a request takes it, and `canvas`, a file.
        number: differs for each filled form, so that old entries don't return.
    """

    task: Mapping[str, Any]
    installed: Mapping[str, Any]
    model: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


class Form:
    """Components in the current context of Gradio.

    Args:
        sheet: what it is made from.

    Attributes:
        components: the components, whose values `entered` takes in this order.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._fields = {one.name: one for one in fields_of(sheet.task)}
        self.components: list[Any] = []
        self._readers: list[Callable[[Any, dict[str, Any]], None]] = []
        self._grid: list[tuple[int, int]] = []
        self._build()

    def entered(self, values: Sequence[Any]) -> Entered:
        """Return what the values of the components say.

        Raises:
            Mistake: if one is not valid, or a required one is absent.
        """
        found: dict[str, Any] = {"task": self._sheet.task["name"]}
        if self._sheet.model:
            found["model"] = self._sheet.model
        try:
            grid = grid_of([(values[x], values[y]) for x, y in self._grid], self._sweepable())
            for read, value in zip(self._readers, values):
                read(value, found)
        except ValueError as error:
            raise Mistake(str(error)) from None
        swept = {one.name for one in grid.sweeps}
        for one in self._fields.values():
            if one.required and one.name not in found and one.name not in swept:
                raise Mistake(f"{one.label} is empty; {_what_to_do(one)}")
        return Entered(found, grid)

    # The components

    def _build(self) -> None:
        fields = self._fields.values()
        usual = [one for one in fields if one.usual and one.kind not in FILES]
        others = [one for one in fields if not one.usual and one.kind not in FILES]
        of_addons = {one["name"] for kind in ("addons", "conditions")
                     for owner in self._sheet.installed[kind] for one in owner["inputs"]}  # fmt: skip
        others = [one for one in others if one.name not in of_addons]
        self._canvas([one for one in fields if one.kind in FILES and one.name not in of_addons])
        texts = [one for one in usual if one.kind in ("text", "json")]
        for one in texts:
            self._simple(one)
        with gr.Row(elem_classes="numbers"):
            for one in usual:
                if one not in texts:
                    self._simple(one)
            self._add(
                gr.Number(
                    self._sheet.values.get("images", 1), label="Images", precision=0, minimum=1,
                    min_width=110, maximum=self._sheet.installed["limits"]["images"],
                    key=self._key("images"),
                ),
                _into("images", Field("images", "integer", least=1)),
            )  # fmt: skip
        self._adapters()
        self._addons()
        self._conditions()
        with gr.Accordion("More settings", open=False):
            schedulers = [*self._sheet.installed["schedulers"]]
            self._add(
                gr.Dropdown(
                    [("of the model", _OFF), *schedulers], value=self._scheduler(schedulers),
                    label="Scheduler", key=self._key("scheduler"),
                ),
                _into("scheduler", Field("scheduler", "choice")),
            )  # fmt: skip
            for one in others:
                self._simple(one)
        self._grids()

    def _add(self, component: Any, read: Callable[[Any, dict[str, Any]], None]) -> Any:
        self.components.append(component)
        self._readers.append(read)
        return component

    def _key(self, name: str) -> str:
        return f"{name}-{self._sheet.number}"

    def _simple(self, one: Field) -> None:
        """Add the component of a field that is not a file."""
        given = self._sheet.values.get(one.name, None if one.kind == "text" else one.default)
        self._add(component_of(one, given, self._key(one.name)), _into(one.name, one))

    def _canvas(self, fields: Sequence[Field]) -> None:
        """Add an editor for the first picture and the first mask, and a component for each other."""
        picture = next((one for one in fields if one.kind == "image"), None)
        mask = next((one for one in fields if one.kind == "mask"), None)
        if picture is not None and picture.required:
            fields = [one for one in fields if one not in (picture, mask)]
            usual = tuple(self._sheet.task.get("size") or _CANVAS)
            file = self._sheet.values.get("canvas")
            value = {"background": file, "layers": [], "composite": file} if file else None
            label = f"{picture.label}: load or draw one"
            brush = gr.Brush(colors=["#e11d48", "#f59e0b", "#16a34a", "#2563eb", "#111827"])
            if mask is not None:
                label = f"{picture.label}: load one, and paint over what is redrawn"
                brush = gr.Brush(default_size=32, colors=["#e11d48"], color_mode="fixed")
            editor = gr.ImageEditor(
                value, label=label, type="pil", format="png", brush=brush, layers=False,
                canvas_size=_CANVAS, sources=("upload", "clipboard"), transforms=("crop",),
                key=self._key("canvas-mask" if mask else "canvas"), elem_id="canvas",
                buttons=[], height=430,
            )  # fmt: skip

            def read(value: Any, found: dict[str, Any]) -> None:
                image = picture_in(value, with_layers=mask is None)
                if image is None:
                    return
                found[picture.name] = Upload(png_of(image), picture.kind)
                if mask is not None and (painted := mask_in(value)) is not None:
                    found[mask.name] = Upload(png_of(painted), mask.kind)
                width, height = fitted(image.size, usual)
                found.setdefault("size", [width, height])

            self._add(editor, read)
        for one in fields:
            self._file(one)

    def _file(self, one: Field) -> None:
        label, key = one.label, self._key(one.name)
        if one.kind in IMAGES:
            made: Any = gr.Image(
                label=label, type="filepath", image_mode=None, height=220, key=key,
                sources=["upload", "clipboard"], buttons=[],
            )  # fmt: skip
        elif one.kind == "audio":
            made = gr.Audio(label=label, type="filepath", sources=["upload"], key=key)
        else:
            made = gr.Video(label=label, sources=["upload"], key=key)

        def read(value: Any, found: dict[str, Any]) -> None:
            if value:
                found[one.name] = Upload(Path(value).read_bytes(), one.kind)

        self._add(made, read)

    def _adapters(self) -> None:
        """Add slots for add-ons that are files."""
        kinds = [one["name"] for one in self._sheet.installed["addons"] if one["key"]]
        files = [*self._sheet.installed["loras"]]
        if not kinds or not files:
            return
        given = [one for one in self._sheet.values.get("addons", ()) if one.get("source")]
        usual = "lora" if "lora" in kinds else kinds[0]
        rows = []
        with gr.Accordion("Adapters", open=bool(given)):
            for slot in range(SLOTS):
                one = given[slot] if slot < len(given) else {}
                source = one.get("source") or _OFF
                with gr.Row(visible=slot <= len(given)) as row:
                    kind = gr.Dropdown(
                        kinds, value=one.get("addon", usual), label="Kind", min_width=120,
                        visible=len(kinds) > 1, key=self._key(f"adapter-kind-{slot}"),
                    )  # fmt: skip
                    chosen = gr.Dropdown(
                        [("no adapter", _OFF), *files, *([source] if source not in files else [])],
                        value=source, label=f"Adapter {slot + 1}", min_width=160,
                        key=self._key(f"adapter-{slot}"),
                    )  # fmt: skip
                    strength = gr.Number(
                        one.get("strength", 1.0), label="Strength", step=0.05, min_width=100,
                        key=self._key(f"adapter-strength-{slot}"),
                    )  # fmt: skip
                self._slot(kind, chosen, strength)
                rows.append((row, chosen))
        for (_, chosen), (row, _) in zip(rows, rows[1:]):
            chosen.change(
                lambda name: gr.Row(visible=name != _OFF), chosen, row, show_progress="hidden"
            )

    def _slot(self, kind: Any, chosen: Any, strength: Any) -> None:
        one: dict[str, Any] = {}

        def with_kind(value: Any, found: dict[str, Any]) -> None:
            one["addon"] = value

        def with_source(value: Any, found: dict[str, Any]) -> None:
            one["source"] = value

        def with_strength(value: Any, found: dict[str, Any]) -> None:
            if one["source"] and one["source"] != _OFF:
                number = 1.0 if value is None else value
                found.setdefault("addons", []).append({**one, "strength": number})

        for component, read in (
            (kind, with_kind), (chosen, with_source), (strength, with_strength)
        ):  # fmt: skip
            self._add(component, read)

    def _addons(self) -> None:
        """Add a switch for each add-on without a file, and components for its inputs."""
        plain = [one for one in self._sheet.installed["addons"] if not one["key"]]
        given = {one["addon"] for one in self._sheet.values.get("addons", ())}
        if plain:
            with gr.Accordion("Add-ons", open=any(one["name"] in given for one in plain)):
                for one in plain:
                    self._switch(one, one["name"] in given, _addon)

    def _conditions(self) -> None:
        """Add a model for each condition that has one, and a switch for each other."""
        given = self._sheet.values.get("conditions", {})
        free = [one["name"] for one in self._sheet.installed["models"] if not one["tasks"]]
        conditions = [one for one in self._sheet.installed["conditions"] if one["flag"] or free]
        if conditions:
            with gr.Accordion("Conditions", open=bool(given)):
                for one in conditions:
                    if one["flag"]:
                        self._switch(one, bool(given.get(one["name"])), _condition)
                    else:
                        self._model(one, free, (given.get(one["name"]) or {}).get("name"))

    def _switch(self, one: Mapping[str, Any], on: bool, into: Any) -> None:
        name = one["name"]
        label = name.replace("_", " ").capitalize()
        made = self._add(
            gr.Checkbox(on, label=label, info=_sentence(one["help"]), key=self._key(name)),
            lambda value, found: into(name, found) if value else None,
        )
        self._inputs(one, made, lambda value: bool(value), on)

    def _model(self, one: Mapping[str, Any], models: Sequence[str], given: str | None) -> None:
        def read(value: Any, found: dict[str, Any]) -> None:
            if value and value != _OFF:
                found.setdefault("conditions", {})[one["name"]] = {"name": value}

        made = gr.Dropdown(
            [(_OFF, _OFF), *models], value=given if given in models else _OFF,
            label=one["name"].replace("_", " ").capitalize(), info=_sentence(one["help"]),
            key=self._key(one["name"]),
        )  # fmt: skip
        self._inputs(one, self._add(made, read), lambda value: value != _OFF, given in models)

    def _inputs(
        self, owner: Mapping[str, Any], switch: Any, is_on: Callable[[Any], bool], on: bool
    ) -> None:
        """Add what an add-on or a condition takes; it is in view, and counts, if that is on."""
        if not owner["inputs"]:
            return
        begin = len(self.components)
        place = self.components.index(switch)
        with gr.Group(visible=on) as group:
            for given in owner["inputs"]:
                one = self._fields.get(given["name"]) or field_of(given)
                (self._file if one.kind in FILES else self._simple)(one)
        for number in range(begin, len(self.components)):
            self._readers[number] = self._if_on(self._readers[number], place, is_on)
        switch.change(
            lambda value: gr.Group(visible=is_on(value)), switch, group, show_progress="hidden"
        )

    def _if_on(self, read: Any, place: int, is_on: Callable[[Any], bool]) -> Any:
        found_on = self._readers[place]
        state: dict[str, Any] = {}

        def remember(value: Any, found: dict[str, Any]) -> None:
            state["on"] = is_on(value)
            found_on(value, found)

        self._readers[place] = remember
        return lambda value, found: read(value, found) if state.get("on") else None

    def _scheduler(self, known: Sequence[str]) -> str:
        given = self._sheet.values.get("scheduler")
        name = given.get("name", "") if isinstance(given, Mapping) else given
        plain = str(name or "").removesuffix("Scheduler")
        return plain if plain in known else _OFF

    def _sweepable(self) -> dict[str, Field]:
        found = {n: one for n, one in self._fields.items() if one.kind not in FILES}
        found["scheduler"] = Field("scheduler", "text")
        found["model"] = Field("model", "text")
        return found

    def _grids(self) -> None:
        with gr.Accordion("Grid", open=False):
            gr.Markdown(
                "A picture for each value, or for each pair of values, on one sheet. Write values "
                "as `3, 5, 7`, as `1..4`, or as a list in JSON.",
            )
            choices = [(one.label, name) for name, one in self._sweepable().items()]
            for axis in ("Rows", "Columns"):
                with gr.Row():
                    name = gr.Dropdown(
                        [(_OFF, ""), *choices], value="", label=axis, min_width=140,
                        key=self._key(f"grid-{axis}"),
                    )  # fmt: skip
                    values = gr.Textbox(
                        label=f"Values of the {axis.lower()}", min_width=140,
                        key=self._key(f"grid-values-{axis}"),
                    )  # fmt: skip
                begin = len(self.components)
                self._add(name, _nothing)
                self._add(values, _nothing)
                self._grid.append((begin, begin + 1))


def component_of(one: Field, value: Any, key: str) -> Any:
    """Return the component of a field that is not a file."""
    about: dict[str, Any] = {"label": one.label, "key": key, "info": _sentence(one.help)}
    if one.kind == "text":
        short = one.usual
        lines = 3 if one.name == "prompt" else 1
        text = value if isinstance(value, str) or value is None else json.dumps(value)
        return gr.Textbox(
            text, lines=lines, max_lines=12, elem_id=one.name,
            **(about | ({"info": None} if short else {})),
        )  # fmt: skip
    if one.kind == "flag":
        return gr.Checkbox(bool(value), **about)
    if one.kind == "choice":
        return gr.Dropdown([*one.choices], value=value, **about)
    if one.kind in ("integer", "number"):
        if one.usual:
            about["info"] = None
        return gr.Number(
            value, precision=0 if one.kind == "integer" else None, minimum=one.least,
            maximum=one.most, step=None if one.kind == "integer" else 0.1,
            min_width=110, elem_id=one.name, **about,
        )  # fmt: skip
    return gr.Textbox(None if value is None else json.dumps(value), placeholder="JSON", **about)


def _into(name: str, one: Field) -> Callable[[Any, dict[str, Any]], None]:
    def read(value: Any, found: dict[str, Any]) -> None:
        entered = None if value == _OFF and one.kind == "choice" else one.value(value)
        if entered is not None and entered != one.default:
            found[name] = entered

    return read


def _addon(name: str, found: dict[str, Any]) -> None:
    found.setdefault("addons", []).append({"addon": name})


def _condition(name: str, found: dict[str, Any]) -> None:
    found.setdefault("conditions", {})[name] = True


def _nothing(value: Any, found: dict[str, Any]) -> None:
    """Read nothing; the grid reads these components."""


def _sentence(text: str) -> str | None:
    return text[:1].upper() + text[1:] if text else None


def _what_to_do(one: Field) -> str:
    if one.kind == "mask":
        return "paint over the part of the picture that is to be redrawn"
    return "load a picture or draw one" if one.kind in FILES else "write something"
