"""Creates the project of a new family by copying an example under another name.

`example/` is a complete, working project with the package `autopipe_doodle` and the family
`doodle`. `create` copies it and replaces that name.
"""

from __future__ import annotations

import json
import keyword
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from autopipe.errors import ArgumentError
from autopipe.resolution.hints import published
from autopipe.tasks import Task
from autopipe.wording import reason, shown

EXAMPLE = Path(__file__).parent / "example"
NAME = "doodle"

CLASSES = {
    Task.TEXT2IMAGE: "DoodlePipeline",
    Task.IMAGE2IMAGE: "DoodleImg2ImgPipeline",
    Task.INPAINT: "DoodleInpaintPipeline",
}
"""The tasks that the example serves, with their pipeline classes."""

_NEEDED_BY = {"images.py": {Task.IMAGE2IMAGE, Task.INPAINT}}
"""Files that only some tasks need, in addition to the files that are named after a task."""

_CACHE = re.compile(r"_cache/|__pycache__/")
"""Matches caches that tools leave in the example."""

_BINARY = (".safetensors",)
_INDEX = "model_index.json"


def create(name: str, folder: str | Path | None = None, tasks: Collection[Task] = ()) -> Path:
    """Create the project of a new family, and return its folder.

    Args:
        name: the family, in letters, digits and underscores; dashes count as underscores.
        folder: the target, by default `autopipe-<name>`. It must be empty, or not exist.
        tasks: the tasks of the example that the family should serve; all if empty.

    Raises:
        ArgumentError: if the name is not a valid family name, `folder` is not empty or can't be
            written, or the example has no pipeline for one of the tasks.
    """
    name = family_name(name)
    target = Path(folder or _replaced("autopipe-doodle", name))
    wanted = set(tasks or CLASSES)
    for task in sorted(wanted - CLASSES.keys()):
        raise ArgumentError(
            f"the example has no pipeline for the task {task}; its tasks are {', '.join(CLASSES)}"
        )
    try:
        return _written(target, name, wanted)
    except (OSError, UnicodeError) as error:
        raise ArgumentError(
            f"{shown(str(target))} can't be written ({reason(error)}); choose another folder with "
            f"--to"
        ) from error


def _written(target: Path, name: str, wanted: Collection[Task]) -> Path:
    """Write the project to `target`, and return that folder."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ArgumentError(f"{shown(str(target))} already exists; choose another folder with --to")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside the target and then renamed, so that a failure never leaves half a project.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as scratch:
        made = Path(scratch) / target.name
        for path, content in files(name, wanted):
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_bytes(content)
        if target.exists():
            target.rmdir()
        made.rename(target)
    return target


def family_name(name: str) -> str:
    """Return `name` as a normalised family name.

    Raises:
        ArgumentError: if it is not a valid package name, or is the name of a package of autopipe.
    """
    plain = name.lower().replace("-", "_").removeprefix("autopipe_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", plain) or keyword.iskeyword(plain):
        raise ArgumentError(
            f"{shown(name)} can't be the name of a family; choose a word of letters, digits and "
            f"underscores that begins with a letter, such as 'zoo'"
        )
    dist = _replaced(f"autopipe-{NAME}", plain)
    if dist in published():
        raise ArgumentError(f"{dist} is a package of autopipe itself; choose another name")
    return plain


def files(name: str, tasks: Collection[Task]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file in the project of a family `name`."""
    for source in sorted(EXAMPLE.rglob("*")):
        path = source.relative_to(EXAMPLE).as_posix()
        if source.is_dir() or _CACHE.search(path) or not _is_wanted(source.name, tasks):
            continue
        if source.suffix in _BINARY:
            content = source.read_bytes()
        else:
            text = _for_tasks(source.name, source.read_text(encoding="utf-8"), tasks)
            content = _in_order(_replaced(text, name)).encode()
        yield _replaced(path, name), content


def _is_wanted(file: str, tasks: Collection[Task]) -> bool:
    owner = next((t for t in CLASSES if file in (f"{t}.py", f"test_{t}.py")), None)
    needed_by = {owner} if owner else _NEEDED_BY.get(file, set(CLASSES))
    return bool(needed_by & set(tasks))


def _for_tasks(file: str, text: str, tasks: Collection[Task]) -> str:
    """Return `text` without the lines that mention other tasks."""
    if file == _INDEX:
        first = next(made for task, made in CLASSES.items() if task in tasks)
        return json.dumps({**json.loads(text), "_class_name": first}, indent=2) + "\n"
    others = [word for t in CLASSES if t not in tasks for word in (str(t), t.name, CLASSES[t])]
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not any(word in line for word in others))


def _replaced(text: str, name: str) -> str:
    """Return `text` with the example's name replaced by `name`, in each of its spellings."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    text = text.replace("autopipe-doodle", "autopipe-" + name.replace("_", "-"))
    return text.replace(NAME, name).replace(NAME.capitalize(), camel)


def _in_order(text: str) -> str:
    """Return `text` with the names of its relative imports sorted as ruff requires."""

    def ordered(line: re.Match[str]) -> str:
        names = sorted(line[2].split(", "), key=lambda name: (not name[0].isupper(), name))
        return line[1] + ", ".join(names)

    return re.sub(r"^(from \.\w+ import )([\w, ]+)$", ordered, text, flags=re.MULTILINE)
