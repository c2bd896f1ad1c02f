"""Damaged distributions, as interrupted installations leave them, beside a sound plugin."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.dists import python, write_dist, write_plugin

from autopipe.hooks import ENTRY_POINT_GROUP
from autopipe.resolution.packages import packages_with

SOUND = """
from autopipe import Family, hookimpl
@hookimpl
def autopipe_family():
    return Family("sound")
"""


def info(site: Path, name: str) -> Path:
    """The metadata of a new plugin of this name."""
    write_plugin(site, name, SOUND.replace("sound", name))
    return site / f"dist_{name}-1.0.dist-info"


def _nonsense(folder: Path) -> None:
    (folder / "entry_points.txt").write_text("[console_scripts]\nnonsense\n")


def _nonsense_beside_ours(folder: Path) -> None:
    (folder / "entry_points.txt").write_text("[autopipe.families]\nx = plugin_x\nnonsense\n")


def _odd_points(folder: Path) -> None:
    (folder / "entry_points.txt").write_bytes(b"[autopipe.families]\n\xff = \xfe\n")


def _folder_of_points(folder: Path) -> None:
    (folder / "entry_points.txt").unlink()
    (folder / "entry_points.txt").mkdir()


def _pipe_of_points(folder: Path) -> None:
    (folder / "entry_points.txt").unlink()
    os.mkfifo(folder / "entry_points.txt")


def _pipe_of_metadata(folder: Path) -> None:
    (folder / "METADATA").unlink()
    os.mkfifo(folder / "METADATA")


def _odd_metadata(folder: Path) -> None:
    (folder / "METADATA").write_bytes(b"\377")


def _no_metadata(folder: Path) -> None:
    (folder / "METADATA").unlink()


def _empty_metadata(folder: Path) -> None:
    (folder / "METADATA").write_bytes(b"")


def _no_name(folder: Path) -> None:
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1.0\n")


def _blank_name(folder: Path) -> None:
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: \nVersion: 1.0\n")


def _no_version(folder: Path) -> None:
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\n")


def _garbage(folder: Path) -> None:
    (folder / "entry_points.txt").write_text("[autopipe.families]\nx = ??? [no: target\n")


def _no_value(folder: Path) -> None:
    (folder / "entry_points.txt").write_text("[autopipe.families]\nx =\n")


def _twice(folder: Path) -> None:
    write_dist(folder.parent, "dist-twice", {"twice": "plugin_twice"}, version="2.0")


def _odd_requirements(folder: Path) -> None:
    with (folder / "METADATA").open("a") as file:
        file.write('Requires-Dist: ???\nRequires-Dist: x; nonsense == "1"\n')
        file.write("Requires-Dist: sound >= 1..2\nRequires-Dist: nameless\n")
    write_dist(folder.parent, "nameless", {}, version="not a version")


DAMAGES = {
    name.removeprefix("_"): damage
    for name, damage in list(globals().items())
    if callable(damage) and getattr(damage, "__annotations__", None) == {
        "folder": "Path", "return": "None",
    }
}  # fmt: skip
TOLD = DAMAGES.keys() - {"odd_requirements"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name, damage in DAMAGES.items():
        damage(info(folder, name))
    write_plugin(folder, "sound", SOUND)
    return folder


def test_each_is_a_problem_and_the_others_go_on(site: Path) -> None:
    assert len(DAMAGES) > 12
    show = (
        "import json; from autopipe import registry;"
        "print(json.dumps([sorted(registry.families),"
        " [[p.plugin.dist, p.kind, str(p)] for p in registry.problems]]))"
    )
    done = python(["-c", show], site)
    assert done.returncode == 0, done.stderr
    families, problems = json.loads(done.stdout)
    assert {"sound", "twice", "odd_requirements"} <= set(families)
    told = {
        name
        for name in DAMAGES
        for dist, kind, text in problems
        if dist.replace("-", "_").startswith(f"dist_{name}") and kind == "broken"
    }
    assert told == TOLD
    assert all(len(text) < 600 for _, _, text in problems)


def test_doctor_and_the_other_commands_go_on_too(site: Path) -> None:
    done = python(["-m", "autopipe", "doctor", "--json"], site)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    states = {plugin["name"]: plugin["state"] for plugin in found["plugins"]}
    assert states["sound"] == "in use"
    hints = {f["subject"]: f["hint"] for f in found["findings"]}
    assert all(hints.values())
    assert any(
        hint.startswith(f"delete {site}/dist_twice-1.0.dist-info and {site}/dist_twice-2.0")
        for hint in hints.values()
    )
    for line in (["doctor"], ["families"], ["resolve", "--help"]):
        done = python(["-m", "autopipe", *line], site)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1)


def test_one_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch) -> None:
    info(tmp_path, "closed")
    (tmp_path / "package-1.0.dist-info").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    read = Path.read_text

    def refuse(self: Path, *args: object, **kwargs: object) -> str:
        if self.name == "entry_points.txt" and "closed" in str(self):
            raise PermissionError(13, "Permission denied", os.fspath(self))
        return read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", refuse)
    (package,) = packages_with(ENTRY_POINT_GROUP)
    assert package.name == "dist_closed"
    assert package.damage is not None
    assert "PermissionError" in package.damage
