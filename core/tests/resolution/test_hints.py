"""Which package to install, from an index or from a clone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from autopipe.resolution import hints

CLONE = hints._clone


def test_the_table_knows_what_each_package_offers() -> None:
    assert hints.dist_of("StableDiffusionXLPipeline", "name") == "autopipe-sdxl"
    assert hints.dist_of("controlnet", "keyword") == "autopipe-controlnet"
    assert hints.dist_of("controlnet", "name") is None
    assert hints.dist_with_demo() == "autopipe-stable-diffusion"
    assert hints.is_published("autopipe-sdxl", "sdxl")
    assert not hints.is_published("autopipe-sdxl", "controlnet")
    assert not hints.is_published("elsewhere", "sdxl")
    assert hints.is_published("autopipe-core", "text2image"), "its own names stay its own"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (lambda clone: (clone / "core").as_uri(), True),
        (lambda clone: (clone / "gone").as_uri(), False),
        (lambda clone: "https://example.org/autopipe_core.whl", False),
        (lambda clone: None, False),
    ],
)
def test_a_core_from_a_clone_names_the_folders_beside_it(
    url, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "a clone"
    for folder, name, needs in (
        ("core", "autopipe-core", ""),
        ("plugins/components", "autopipe-components", '"autopipe-core==1"'),
        ("plugins/zoo", "autopipe-zoo", '"autopipe-core==1",\n  "autopipe-components==1"'),
    ):
        (clone / folder).mkdir(parents=True)
        text = f'[project]\nname = "{name}"\ndependencies = [\n  {needs},\n]\n'
        (clone / folder / "pyproject.toml").write_text(text)
    origin = url(clone)
    text = None if origin is None else json.dumps({"url": origin, "dir_info": {}})
    monkeypatch.setattr(
        hints, "distribution", lambda name: SimpleNamespace(read_text=lambda f: text)
    )
    monkeypatch.setattr(hints, "_clone", CLONE)
    line = hints.pip_line("autopipe-zoo")
    folders = f"'{clone}/plugins/components' '{clone}/plugins/zoo'"
    assert line == f"python -m pip install {folders if found else 'autopipe-zoo'}"
    assert hints.pip_line("elsewhere") == "python -m pip install elsewhere"
    several = hints.pip_line("autopipe-core", "autopipe-zoo==1", "torch>=2", options="--upgrade")
    ours = f"'{clone}/core' {folders}" if found else "autopipe-core autopipe-zoo==1"
    assert several == f"python -m pip install --upgrade {ours} 'torch>=2'"
