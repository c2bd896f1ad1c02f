"""The page: what is on it, and what its buttons do."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from .canvas import enlarged, saved
from .client import Client, ServerError
from .form import CANVAS, Entered, Form, Mistake, Sheet
from .orders import CancelledOrderError, Order
from .sessions import Session, Sessions
from .stage import drawing, idle, problem

MOST_SHOWN = 60
"""The number of results that the page keeps in view."""

_AGE = (3600, 86_400)
"""How often Gradio removes its copies of files, and from which age on, in seconds."""

_BUSY = "This page is drawing; wait for the end, or cancel it."
_GONE = "this picture isn't here any more, because the page was away for a while; draw it again"
_RELOAD = "the page was away for too long; load it again"

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_SOUNDS = (".wav", ".mp3", ".flac")
_TOGGLE = """() => {
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem("autopipe-dark", String(dark));
}"""

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""The stage shows progress, and programs use the server's own API."""

Filled: TypeAlias = tuple[Any, ...]
"""The values of the sheet, the choices of task and model, and the stage."""

Shown: TypeAlias = list[tuple[str, str]]
"""The files in the gallery with their captions, the latest first."""


class Page:
    """The page of one server.

    Args:
        client: the server.
        folder: where results are kept.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._sessions = Sessions(folder)

    def blocks(self) -> gr.Blocks:
        """Return the page for Gradio."""
        page = gr.Blocks(title="autopipe", analytics_enabled=False, delete_cache=_AGE)
        with page:
            with gr.Row(elem_id="head"):
                gr.HTML("<h1>autopipe</h1>")
                dark = gr.Button("Light or dark", size="sm", elem_id="dark")
            dark.click(None, js=_TOGGLE)
            sheet, shown, chosen = gr.State(None), gr.State([]), gr.State(0)
            with gr.Row():
                with gr.Column(scale=5, min_width=320):
                    with gr.Row():
                        task = gr.Radio(
                            [],
                            label="Task",
                            elem_id="task",
                            interactive=True,
                            scale=3,
                            min_width=260,
                        )
                        model = gr.Dropdown(
                            [], label="Model", elem_id="model", interactive=True, min_width=160
                        )
                    form = gr.Column()
                with gr.Column(scale=6, min_width=320):
                    stage = gr.HTML(elem_id="stage")
                    gallery = gr.Gallery(
                        label="Pictures", preview=True, object_fit="contain", height=520,
                        format="png", elem_id="gallery", columns=4, interactive=False,
                        buttons=["download", "fullscreen"],
                    )  # fmt: skip
                    sound = gr.Audio(
                        label="Sound", visible=False, interactive=False, elem_id="sound"
                    )
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
                self._form((sheet, shown, chosen), (task, model), onto, outputs, state)
            page.load(self._begin, None, state, **_QUIET)
            gallery.select(_place, None, chosen, **_QUIET)
            use.click(self._use, [sheet, shown, chosen], state, **_QUIET)
            dropped.upload(self._dropped, [sheet, dropped], [*state, dropped], **_QUIET)
            page.unload(self._left)
        return page

    def _form(
        self, states: tuple[gr.State, ...], choices: tuple[gr.Radio, gr.Dropdown], onto: gr.Button,
        outputs: list[Any], state: list[Any],
    ) -> None:  # fmt: skip
        """Render a form for each sheet, and say what happens with what is entered."""
        sheet, shown, chosen = states

        def render(given: Sheet | None) -> None:
            if given is None:
                return
            with gr.Row(elem_id="actions", render=False) as actions:
                draw = gr.Button(
                    "Draw", variant="primary", elem_id="draw", scale=3,
                    elem_classes=f"task-{given.task['name']}",
                )  # fmt: skip
                cancel = gr.Button("Cancel", elem_id="cancel", scale=1, min_width=90)
            form = Form(given, actions)
            draw.click(
                self._draw(form), [shown, *form.components], outputs, **_QUIET,
                concurrency_limit=None, trigger_mode="once",
            )  # fmt: skip
            cancel.click(self._cancel, None, None, concurrency_limit=None, **_QUIET)
            entries = form.components
            for one in choices:
                one.input(self._chosen(form), [*choices, *entries], state, **_QUIET)
            onto.click(self._onto(form), [shown, chosen, *entries], state, **_QUIET)

        gr.render([sheet], show_progress="hidden")(render)

    # What buttons do

    async def _begin(self) -> Filled:
        try:
            installed = await self._client.installed()
        except ServerError as error:
            return _only(str(error))
        tasks = [one["name"] for one in installed["tasks"]]
        if not tasks:
            return _only(
                "no task is installed; install a family, such as autopipe-stable-diffusion"
            )
        served = _served(installed)
        return await self._sheet(installed, next((t for t in tasks if t in served), tasks[0]), None)

    async def _sheet(
        self, installed: Mapping[str, Any], task: str, model: str | None, stage: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> Filled:  # fmt: skip
        """Return the sheet of a task, the choices of task and model, and the stage."""
        models = [one["name"] for one in installed["models"] if task in one["tasks"]]
        model = model if model in models else next(iter(models), None)
        try:
            found = await self._client.task(task, model)
        except ServerError as error:
            return _only(str(error))
        if model is None:
            stage = problem(f"the server has no model for the task {task}; start it with one")
        served = _served(installed) | {task}
        names = (one["name"] for one in installed["tasks"])
        tasks = [(_title(name), name) for name in names if name in served]
        return (
            Sheet(found, installed, model, values or {}),
            gr.Radio(tasks, value=task),
            gr.Dropdown(models, value=model, visible=len(models) > 1),
            stage,
        )

    def _chosen(self, form: Form) -> Callable[..., Awaitable[Filled]]:
        async def chosen(request: gr.Request, task: str, model: str | None, *values: Any) -> Filled:
            """Show the form of a task and a model, with what was entered."""
            kept = form.values(values, self._of(request).folder)
            return await self._sheet(form.sheet.installed, task, model, values=kept)

        return chosen

    def _draw(self, form: Form) -> Callable[..., AsyncIterator[tuple[Any, ...]]]:
        async def draw(
            request: gr.Request, shown: Shown, *values: Any
        ) -> AsyncIterator[tuple[Any, ...]]:
            """Draw what was entered, and show how far it is."""
            session, nothing = self._of(request), (gr.skip(),) * 7
            if session.order is not None:  # The button of another form began it.
                gr.Warning(_BUSY)
                yield (gr.skip(), *nothing)
                return
            try:
                entered = form.entered(values)
            except Mistake as error:
                yield problem(str(error)), *nothing
                return
            order = session.order = self._order(entered, session)
            drawn: list[Path] = []
            preview, end = None, idle()
            try:
                yield drawing("Sending", 0), *nothing
                # Files are removed when the browser was away, as if the tab were closed.
                shown = [one for one in shown if Path(one[0]).is_file()]
                session.tidy({Path(file) for file, _ in shown})
                canvas = entered.canvas and saved(entered.canvas, session.folder)
                async for one in order.progress():
                    preview = one.preview or preview
                    if one.file is None:
                        yield drawing(one.text, one.part, preview), *nothing
                        continue
                    drawn.append(one.file)
                    if canvas:
                        session.canvases[str(one.file)] = canvas
                    caption = entered.grid.captions[one.place] or f"seed {one.seed}"
                    shown = [(str(one.file), caption), *shown][:MOST_SHOWN]
                    preview = None
                    yield drawing(one.text, one.part), *_results(shown, drawn)
                if len(entered.grid.changes) > 1 and all(is_picture(one) for one in drawn):
                    sheet = entered.grid.sheet(drawn, drawn[0].parent)
                    shown = [(str(sheet), "all of them"), *shown][:MOST_SHOWN]
            except CancelledOrderError:
                end = idle("Cancelled.")
            except ServerError as error:
                end = problem(str(error))
            finally:
                session.order = None
            yield end, *(_results(shown, drawn) if drawn else nothing)

        return draw

    def _order(self, entered: Entered, session: Session) -> Order:
        """Return the order of what was entered."""
        request = dict(entered.request)
        cells = entered.grid.changes
        if len(cells) > 1:
            request["images"] = 1
            # One seed for all, so that only what was asked for differs.
            request.setdefault("seed", secrets.randbelow(2**31))
        return Order(self._client, [{**request, **one} for one in cells], session.folder)

    async def _cancel(self, request: gr.Request) -> None:
        order = self._of(request).order
        if order is not None:
            await order.cancel()

    async def _left(self, request: gr.Request) -> None:
        await self._sessions.end(request.session_hash)

    async def _use(
        self, request: gr.Request, sheet: Sheet | None, shown: Shown, chosen: int
    ) -> Filled:
        if not 0 <= chosen < len(shown):
            return (gr.skip(),) * 4
        file = shown[chosen][0]
        canvas = self._of(request).canvases.get(file)
        return await self._settings(sheet, Path(file), canvas)

    async def _dropped(self, sheet: Sheet | None, file: str | None) -> tuple[Any, ...]:
        found = await self._settings(sheet, Path(file)) if file else (gr.skip(),) * 4
        return *found, None

    async def _settings(
        self, sheet: Sheet | None, file: Path, canvas: Mapping[str, Any] | None = None
    ) -> Filled:
        """Return a sheet that is filled with the settings in a picture.

        Args:
            canvas: the editor's value with which it was drawn, since settings only name pictures.
        """
        if sheet is None:
            return _only(_RELOAD)
        if not file.is_file():
            return _only(_GONE)
        try:
            found = await self._client.settings(file)
        except ServerError as error:
            return _only(str(error))
        given, left = found["given"], [*found["left"], *found["differs"]]
        if size := given.pop("size", None):
            given |= {"width": size[0], "height": size[1]}
        tasks = {one["name"]: one for one in sheet.installed["tasks"]}
        task = tasks.get(given.get("task"), sheet.task)
        if canvas:
            given[CANVAS] = canvas
            pictures = [f"{one['name']}: " for one in task["inputs"]]
            left = [one for one in left if not one.startswith(tuple(pictures))]
        text = "The settings are in the form"
        stage = idle(f"{text}, except: {'; '.join(left)}." if left else f"{text}.")
        return await self._sheet(sheet.installed, task["name"], given.get("model"), stage, given)

    def _onto(self, form: Form) -> Callable[..., Awaitable[Filled]]:
        async def onto(request: gr.Request, shown: Shown, chosen: int, *values: Any) -> Filled:
            """Put a picture on the canvas, of the present task if it has one or else of another."""
            if not 0 <= chosen < len(shown):
                return (gr.skip(),) * 4
            if not Path(shown[chosen][0]).is_file():
                return _only(_GONE)
            installed = form.sheet.installed
            served = _served(installed)
            others = sorted(installed["tasks"], key=lambda one: one["name"] not in served)
            tasks = (form.sheet.task, *others)
            takes = [
                one["name"] for one in tasks
                if any(two["kind"] == "image" and two["required"] for two in one["inputs"])
            ]  # fmt: skip
            if not takes:
                return _only("no installed task begins with a picture")
            folder = self._of(request).folder
            kept = form.values(values, folder)
            kept[CANVAS] = enlarged(Path(shown[chosen][0]), folder)
            return await self._sheet(installed, takes[0], form.sheet.model, values=kept)

        return onto

    def _of(self, request: gr.Request) -> Session:
        return self._sessions.of(request.session_hash)


def _results(shown: Shown, drawn: Sequence[Path]) -> tuple[Any, ...]:
    """Return the values of the outputs after the stage."""
    pictures = [one for one in shown if is_picture(Path(one[0]))]
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


def is_picture(file: Path) -> bool:
    """Whether the gallery shows a file."""
    return file.suffix.lower() in _PICTURES


def _only(message: str) -> Filled:
    """Return a form that stays as it is, and what is wrong."""
    return *(gr.skip(),) * 3, problem(message)


def _served(installed: Mapping[str, Any]) -> set[str]:
    """Return the tasks that a model of the server serves."""
    return {name for one in installed["models"] for name in one["tasks"]}


def _place(event: gr.SelectData) -> int:
    index = event.index
    return int(index[0] if isinstance(index, (list, tuple)) else index)


def _title(task: str) -> str:
    return task.replace("2", " to ").replace("_", " ").capitalize()
