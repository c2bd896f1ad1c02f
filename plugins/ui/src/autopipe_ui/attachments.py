"""The parts of the form for what is attached to a pipeline: adapters, add-ons and conditions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from .fields import FILES, field_of
from .form import OFF, Form, Reader, sentence

SLOTS = 4
"""The number of adapters that a request has at most on the page."""


def inputs_of(installed: Mapping[str, Any]) -> set[str]:
    """Return the names of the inputs of add-ons and conditions."""
    owners = [*installed["addons"], *installed["conditions"]]
    return {one["name"] for owner in owners for one in owner["inputs"]}


def add_attachments(form: Form) -> None:
    """Add the parts; those for which the server has nothing are left out."""
    installed, values = form.sheet.installed, form.sheet.values
    given = values.get("addons", ())
    _add_adapters(form, [one for one in given if one.get("source")])
    plain = [one for one in installed["addons"] if not one["key"]]
    on = {one["addon"] for one in given}
    if plain:
        with gr.Accordion("Add-ons", open=any(one["name"] in on for one in plain)):
            for one in plain:
                _add_switch(form, one, one["name"] in on, _addon)
    free = [one["name"] for one in installed["models"] if not one["tasks"]]
    conditions = [one for one in installed["conditions"] if one["flag"] or free]
    chosen = values.get("conditions", {})
    if conditions:
        with gr.Accordion("Conditions", open=bool(chosen)):
            for one in conditions:
                if one["flag"]:
                    _add_switch(form, one, bool(chosen.get(one["name"])), _condition)
                else:
                    _add_model(form, one, free, (chosen.get(one["name"]) or {}).get("name"))


def _add_adapters(form: Form, given: Sequence[Mapping[str, Any]]) -> None:
    """Add slots for add-ons that are files; each one in use brings the next one into view."""
    kinds = [one["name"] for one in form.sheet.installed["addons"] if one["key"]]
    files = [*form.sheet.installed["loras"]]
    if not kinds or not files:
        return
    usual = "lora" if "lora" in kinds else kinds[0]
    rows = []
    with gr.Accordion("Adapters", open=bool(given)):
        for slot in range(SLOTS):
            one = given[slot] if slot < len(given) else {}
            source = one.get("source") or OFF
            known = [*files, *([source] if source not in (OFF, *files) else [])]
            with gr.Row(visible=slot <= len(given)) as row:
                kind = gr.Dropdown(
                    kinds, value=one.get("addon", usual), label="Kind", min_width=120,
                    visible=len(kinds) > 1,
                )  # fmt: skip
                chosen = gr.Dropdown(
                    [("no adapter", OFF), *known], value=source, label=f"Adapter {slot + 1}",
                    min_width=160, elem_id=f"adapter-{slot}",
                )  # fmt: skip
                strength = gr.Number(
                    one.get("strength", 1.0), label="Strength", step=0.05, min_width=100,
                    elem_id=f"strength-{slot}",
                )  # fmt: skip
            _add_slot(form, kind, chosen, strength)
            rows.append((row, chosen))
    for (_, chosen), (row, _) in itertools.pairwise(rows):
        chosen.change(lambda name: gr.Row(visible=name != OFF), chosen, row, show_progress="hidden")


def _add_slot(form: Form, kind: Any, chosen: Any, strength: Any) -> None:
    """Add the components of an adapter; the last one says it, with what the first two say."""

    def read_kind(value: Any, found: dict[str, Any]) -> None:
        found.setdefault("addons", []).append({"addon": value})

    def read_source(value: Any, found: dict[str, Any]) -> None:
        found["addons"][-1]["source"] = value

    def read_strength(value: Any, found: dict[str, Any]) -> None:
        last = found["addons"].pop()
        if last["source"] not in (None, OFF):
            found["addons"].append({**last, "strength": 1.0 if value is None else value})
        if not found["addons"]:
            del found["addons"]

    form.add(kind, read_kind)
    form.add(chosen, read_source)
    form.add(strength, read_strength)


def _add_switch(
    form: Form, one: Mapping[str, Any], on: bool, into: Callable[[str, dict[str, Any]], None]
) -> None:
    """Add a switch, and what its owner takes."""
    name = one["name"]

    def read(value: Any, found: dict[str, Any]) -> None:
        if value:
            into(name, found)

    made = gr.Checkbox(on, label=_title(name), info=sentence(one["help"]), elem_id=name)
    form.add(made, read)
    _add_inputs(form, one, made, bool, on)


def _add_model(
    form: Form, one: Mapping[str, Any], models: Sequence[str], given: str | None
) -> None:
    """Add a choice of the model of a condition, and what the condition takes."""
    name = one["name"]

    def read(value: Any, found: dict[str, Any]) -> None:
        if value and value != OFF:
            found.setdefault("conditions", {})[name] = {"name": value}

    made = gr.Dropdown(
        [(OFF, OFF), *models], value=given if given in models else OFF, label=_title(name),
        info=sentence(one["help"]), elem_id=name,
    )  # fmt: skip
    form.add(made, read)
    _add_inputs(form, one, made, lambda value: value != OFF, given in models)


def _add_inputs(
    form: Form, owner: Mapping[str, Any], switch: Any, is_on: Callable[[Any], bool], on: bool
) -> None:
    """Add what an add-on or a condition takes; it is in view, and counts, while that is on."""
    if not owner["inputs"]:
        return
    begin = len(form.components)
    with gr.Group(visible=on) as group:
        for given in owner["inputs"]:
            one = form.fields.get(given["name"]) or field_of(given)
            (form.file if one.kind in FILES else form.simple)(one)
    name = owner["name"]
    for place in range(begin, len(form.readers)):
        form.readers[place] = _if_attached(form.readers[place], name)
    switch.change(
        lambda value: gr.Group(visible=is_on(value)), switch, group, show_progress="hidden"
    )


def _if_attached(read: Reader, name: str) -> Reader:
    """Return a reader for what only counts if an add-on or a condition is in the request."""

    def reader(value: Any, found: dict[str, Any]) -> None:
        addons = {one["addon"] for one in found.get("addons", ())}
        if name in addons or name in found.get("conditions", ()):
            read(value, found)

    return reader


def _addon(name: str, found: dict[str, Any]) -> None:
    found.setdefault("addons", []).append({"addon": name})


def _condition(name: str, found: dict[str, Any]) -> None:
    found.setdefault("conditions", {})[name] = True


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
