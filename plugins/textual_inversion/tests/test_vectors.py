"""Each layout of files, and what is wrong in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autopipe.errors import ArgumentError, CheckpointError, UnsafeCheckpointError
from autopipe_textual_inversion.vectors import open_vectors

ONE = torch.arange(3.0)
TWO = torch.arange(6.0).reshape(2, 3)


class Unsafe:
    def __reduce__(self) -> Any:
        return print, ("this runs",)


def found(source: Any, **options: Any) -> tuple[str | None, dict[str, list[list[float]]]]:
    vectors = open_vectors(source, **options)
    return vectors.name, {part: rows.tolist() for part, rows in vectors.rows.items()}


@pytest.mark.parametrize("name", ["learned_embeds.safetensors", "learned_embeds.bin"])
def test_a_folder_names_its_token(tmp_path: Path, name: str) -> None:
    write = save_file if name.endswith("safetensors") else torch.save
    write({"<cat>": TWO}, tmp_path / name)
    save_file({"<other>": ONE}, tmp_path / "a.safetensors")
    assert found(tmp_path) == ("<cat>", {"": TWO.tolist()})
    assert found(tmp_path, weight_name="a.safetensors") == ("<other>", {"": [ONE.tolist()]})


def test_a_file_of_the_web_ui_names_its_token(tmp_path: Path) -> None:
    content = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": torch.nn.Parameter(TWO)},
        "name": "charturner",
        "step": 500,
        "sd_checkpoint": None,
    }
    torch.save(content, tmp_path / "embedding.pt")
    assert found(tmp_path / "embedding.pt") == ("charturner", {"": TWO.tolist()})
    assert found(content) == ("charturner", {"": TWO.tolist()})


def test_a_file_without_a_name_has_its_own(tmp_path: Path) -> None:
    save_file({"emb_params": TWO}, tmp_path / "easynegative.safetensors")
    torch.save(ONE, tmp_path / "dog.pt")
    save_file({"clip_l": ONE, "clip_g": TWO}, tmp_path / "style.v2.safetensors")
    assert found(tmp_path / "easynegative.safetensors") == ("easynegative", {"": TWO.tolist()})
    assert found(tmp_path / "dog.pt") == ("dog", {"": [ONE.tolist()]})
    both = {"text_encoder": [ONE.tolist()], "text_encoder_2": TWO.tolist()}
    assert found(tmp_path / "style.v2.safetensors") == ("style.v2", both)


def test_content_without_a_name_needs_one() -> None:
    for content in (ONE, {"emb_params": ONE}, {"clip_g": ONE}):
        vectors = open_vectors(content)
        with pytest.raises(ArgumentError, match="give token="):
            vectors.token()
        assert vectors.token("<cat>") == "<cat>"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": ONE, "b": ONE}, "has 2 entries"),
        ({}, "has 0 entries"),
        ({"a": ONE.int()}, "rows of numbers"),
        ({"a": torch.zeros(1, 2, 3)}, "rows of numbers"),
        ({"a": torch.zeros(0, 3)}, "rows of numbers"),
        ({"a": torch.zeros(5000, 3)}, "rows of numbers"),
        ({"a": "text"}, "must be a tensor"),
        ({"string_to_param": {"*": ONE, "+": ONE}}, "one tensor"),
        ({"string_to_param": ONE, "name": "a"}, "one tensor"),
        ({"string_to_param": {"*": 3}, "name": "a"}, "must be a tensor"),
    ],
)
def test_other_content_is_refused(content: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        open_vectors(content)


@pytest.mark.parametrize("token", ["", " cat", "a\nb", "x" * 300, "\u202ecat", 3])
def test_what_can_t_be_a_token_is_refused(token: Any) -> None:
    with pytest.raises(ArgumentError, match="token="):
        open_vectors(ONE).token(token)
    with pytest.raises(ArgumentError, match="token="):
        open_vectors({"string_to_param": {"*": ONE}, "name": token}).token()


def test_files_that_can_t_be_trusted_or_read_are_refused(tmp_path: Path) -> None:
    torch.save({"<cat>": Unsafe()}, tmp_path / "unsafe.pt")
    (tmp_path / "half.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    with pytest.raises(UnsafeCheckpointError):
        open_vectors(tmp_path / "unsafe.pt")
    for name in ("half.safetensors", "absent.pt"):
        with pytest.raises((CheckpointError, ArgumentError)):
            open_vectors(tmp_path / name)
