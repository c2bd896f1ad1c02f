"""The page: what is on it, and what its buttons do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from .client import Client, ServerError
from .form import Entered, Form, Mistake, Sheet, Upload
from .orders import CancelledOrderError, Order
from .stage import drawing, idle, problem

MOST_SHOWN = 60
"""The number of results that the page keeps in view."""

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_SOUNDS = (".wav", ".mp3", ".flac")
_TOGGLE = """() => {
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem("autopipe-dark", String(dark));
}"""

Shown = list[tuple[str, str]]
"""The files in the gallery with their captions, the latest first."""


class Page:
    """The page of one server.

    Args:
        client: the server.
        folder: where results are kept.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._orders: dict[str, Order] = {}

    def blocks(self) -> gr.Blocks:
        """Return the page for Gradio."""
        with gr.Blocks(title="autopipe", analytics_enabled=False) as page:
            with gr.Row(elem_id="head"):
                gr.HTML("<h1>autopipe</h1>")
                dark = gr.Button("Light or dark", size="sm", elem_id="dark")
            dark.click(None, js=_TOGGLE)
            sheet, shown, chosen = gr.State(None), gr.State([]), gr.State(0)
            with gr.Row():
                with gr.Column(scale=5, min_width=320):
                    with gr.Row():
                        task = gr.Radio([], label="Task", elem_id="task", scale=3, min_width=260)
                        model = gr.Dropdown([], label="Model", elem_id="model", min_width=160)
                    form = gr.Column()
                with gr.Column(scale=6, min_width=320):
                    stage = gr.HTML(elem_id="stage")
                    gallery = gr.Gallery(
                        label="Pictures", preview=True, object_fit="contain", height=520,
                        format="png", elem_id="gallery", columns=4, interactive=False,
                        buttons=["download", "fullscreen"],
                    )  # fmt: skip
                    sound = gr.Audio(label="Sound", visible=False, interactive=False)
                    files = gr.Files(label="Files", visible=False, interactive=False)
                    with gr.Row():
                        use = gr.Button("Use these settings", interactive=False, elem_id="use")
                        onto = gr.Button("Draw from this", interactive=False, elem_id="onto")
                    dropped = gr.File(
                        label="Drop a picture here to use its settings", file_types=["image"],
                        height=120, elem_id="dropped",
                    )  # fmt: skip
            outputs = [stage, gallery, sound, files, shown, chosen, use, onto]
            state = [sheet, task, model, stage]
            with form:
                self._form(sheet, shown, outputs)
            page.load(self._begin, None, state, show_progress="hidden")
            task.input(self._task, [sheet, task, model], state, show_progress="hidden")
            model.input(self._task, [sheet, task, model], state, show_progress="hidden")
            gallery.select(_place, None, chosen, show_progress="hidden")
            use.click(self._use, [sheet, shown, chosen], state, show_progress="hidden")
            onto.click(self._onto, [sheet, shown, chosen], state, show_progress="hidden")
            dropped.upload(self._dropped, [sheet, dropped], [*state, dropped])
            page.unload(self._left)
        return page

    def _form(self, sheet: gr.State, shown: gr.State, outputs: list[Any]) -> None:
        @gr.render(inputs=[sheet], show_progress="hidden")
        def render(given: Sheet | None) -> None:
            if given is None:
                return
            form = Form(given)
            with gr.Row(elem_id="actions"):
                draw = gr.Button("Draw", variant="primary", elem_id="draw", scale=3)
                cancel = gr.Button("Cancel", elem_id="cancel", scale=1, min_width=90)
            draw.click(
                self._draw(form), [shown, *form.components], outputs, show_progress="hidden",
                concurrency_limit=None, trigger_mode="once",
            )  # fmt: skip
            cancel.click(self._cancel, None, None, concurrency_limit=None, show_progress="hidden")

    # What buttons do

    async def _begin(self) -> tuple[Any, ...]:
        try:
            installed = await self._client.installed()
        except ServerError as error:
            return None, gr.skip(), gr.skip(), problem(str(error))
        tasks = [one["name"] for one in installed["tasks"]]
        if not tasks:
            return None, gr.skip(), gr.skip(), problem(
                "no task is installed; install a family, such as autopipe-stable-diffusion"
            )
        return await self._sheet(installed, tasks[0], None)

    async def _task(self, before: Sheet | None, task: str, model: str | None) -> tuple[Any, ...]:
        if before is None:
            return await self._begin()
        return await self._sheet(before.installed, task, model, number=before.number)

    async def _sheet(
        self, installed: Mapping[str, Any], task: str, model: str | None, stage: str = "",
        values: Mapping[str, Any] | None = None, number: int = 0,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Return the sheet of a task, the choices of task and model, and the stage."""
        models = [one["name"] for one in installed["models"] if task in one["tasks"]]
        model = model if model in models else next(iter(models), None)
        tasks = [(_title(one["name"]), one["name"]) for one in installed["tasks"]]
        try:
            found = await self._client.task(task, model)
        except ServerError as error:
            return gr.skip(), gr.skip(), gr.skip(), problem(str(error))
        if model is None:
            stage = problem(f"none of the server's models serves the task {task}")
        return (
            Sheet(found, installed, model, values or {}, number),
            gr.Radio(tasks, value=task),
            gr.Dropdown(models, value=model, visible=len(models) > 1),
            stage,
        )

    def _draw(self, form: Form) -> Callable[..., AsyncIterator[tuple[Any, ...]]]:
        async def draw(
            request: gr.Request, shown: Shown, *values: Any
        ) -> AsyncIterator[tuple[Any, ...]]:
            nothing = (gr.skip(),) * 7
            yield drawing("Sending", 0), *nothing
            try:
                entered = form.entered(values)
                order = await self._order(entered, str(request.session_hash))
            except (Mistake, ServerError) as error:
                yield problem(str(error)), *nothing
                return
            drawn: list[Path] = []
            preview, captions = None, entered.grid.captions
            try:
                async for one in order.progress():
                    preview = one.preview or preview
                    if one.file is None:
                        yield drawing(one.text, one.part, preview), *nothing
                        continue
                    drawn.append(one.file)
                    shown = [(str(one.file), captions[one.place]), *shown][:MOST_SHOWN]
                    yield drawing(one.text, one.part), *_results(shown, drawn)
                    preview = None
            except CancelledOrderError:
                yield idle("Cancelled."), *_results(shown, drawn)
                return
            except ServerError as error:
                yield problem(str(error)), *_results(shown, drawn)
                return
            finally:
                self._orders.pop(str(request.session_hash), None)
            if len(captions) > 1:
                pictures = [one for one in drawn if one.suffix in _PICTURES]
                sheet = entered.grid.sheet(pictures, drawn[0].parent)
                shown = [(str(sheet), "all"), *shown][:MOST_SHOWN]
            yield idle(), *_results(shown, drawn)

        return draw

    async def _order(self, entered: Entered, session: str) -> Order:
        """Upload the files of what was entered, and return its order."""
        request = {
            name: await self._client.upload(one.content, one.kind)
            if isinstance(one, Upload) else one
            for name, one in entered.request.items()
        }  # fmt: skip
        cells = entered.grid.changes
        if len(cells) > 1:
            request["images"] = 1
            # One seed for all, so that only what was asked for differs.
            request.setdefault("seed", _random_seed())
        order = Order(self._client, [{**request, **one} for one in cells], self._folder)
        self._orders[session] = order
        return order

    async def _cancel(self, request: gr.Request) -> None:
        order = self._orders.get(str(request.session_hash))
        if order is not None:
            await order.cancel()

    async def _left(self, request: gr.Request) -> None:
        await self._cancel(request)

    async def _use(self, sheet: Sheet, shown: Shown, chosen: int) -> tuple[Any, ...]:
        if not 0 <= chosen < len(shown):
            return (gr.skip(),) * 4
        return await self._settings(sheet, Path(shown[chosen][0]))

    async def _dropped(self, sheet: Sheet, file: str | None) -> tuple[Any, ...]:
        found = await self._settings(sheet, Path(file)) if file else (gr.skip(),) * 4
        return *found, None

    async def _settings(self, sheet: Sheet, file: Path) -> tuple[Any, ...]:
        """Return a sheet that is filled with the settings in a picture."""
        try:
            found = await self._client.settings(file)
        except ServerError as error:
            return gr.skip(), gr.skip(), gr.skip(), problem(str(error))
        given = found["given"]
        if size := given.get("size"):
            given.setdefault("width", size[0])
            given.setdefault("height", size[1])
        tasks = {one["name"] for one in sheet.installed["tasks"]}
        task = given.get("task")
        task = task if task in tasks else sheet.task["name"]
        left = [*found.get("left", ()), *found.get("differs", ())]
        stage = idle("The settings are in the form.")
        if left:
            stage = idle(f"The settings are in the form, except: {'; '.join(left)}.")
        number = sheet.number + 1
        return await self._sheet(
            sheet.installed, task, given.get("model"), stage, given, number
        )

    async def _onto(self, sheet: Sheet, shown: Shown, chosen: int) -> tuple[Any, ...]:
        """Return a sheet whose canvas has a picture, for the present task or else for another."""
        if not 0 <= chosen < len(shown):
            return (gr.skip(),) * 4
        tasks = [sheet.task, *sheet.installed["tasks"]]
        takes = [
            one["name"] for one in tasks
            if any(two["kind"] == "image" and two["required"] for two in one["inputs"])
        ]  # fmt: skip
        if not takes:
            return *(gr.skip(),) * 3, problem("no installed task begins with a picture")
        values = {"canvas": shown[chosen][0]}
        return await self._sheet(
            sheet.installed, takes[0], sheet.model, "", values, sheet.number + 1
        )


def _results(shown: Shown, drawn: Sequence[Path]) -> tuple[Any, ...]:
    """Return the values of the outputs after the stage."""
    pictures = [one for one in shown if Path(one[0]).suffix in _PICTURES]
    sounds = [str(one) for one in drawn if one.suffix in _SOUNDS]
    others = [str(one) for one in drawn if one.suffix not in (*_PICTURES, *_SOUNDS)]
    return (
        gr.Gallery(
            [(file, caption or None) for file, caption in pictures],
            selected_index=0 if pictures else None, preview=True,
        ),
        gr.Audio(sounds[-1] if sounds else None, visible=bool(sounds)),
        gr.Files(others or None, visible=bool(others)),
        pictures,
        0,
        gr.Button(interactive=bool(pictures)),
        gr.Button(interactive=bool(pictures)),
    )  # fmt: skip


def _place(event: gr.SelectData) -> int:
    index = event.index
    return int(index[0] if isinstance(index, (list, tuple)) else index)


def _title(task: str) -> str:
    return task.replace("2", " to ").replace("_", " ").capitalize()


def _random_seed() -> int:
    import secrets

    return secrets.randbelow(2**31)


