"""An adapter and its image encoder in a repository of a Hub on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.hub_server import HubServer, hub_server  # noqa: F401

from autopipe.errors import CheckpointError

from .conftest import Adapters, draw, picture, save

NAME = "StableDiffusionPipeline"


def test_only_what_is_needed_is_fetched(
    build: Any,
    unets: Any,
    encoder: Any,
    tmp_path: Path,
    hub_server: HubServer,  # noqa: F811
) -> None:
    for seed, name in enumerate(("ip-adapter.safetensors", "ip-adapter-other.bin")):
        file = Adapters(seed).file("plus", unets["stable_diffusion"])
        save(file, tmp_path / "models" / name)
    encoder.save_pretrained(tmp_path / "models/image_encoder")
    first = hub_server.add("owner/adapter", tmp_path)
    keywords = {"subfolder": "models", "weight_name": "ip-adapter.safetensors", "revision": first}
    pipe = build(NAME, image_encoder=None, feature_extractor=None)
    pipe.load_ip_adapter("owner/adapter", **keywords)
    acting = draw(pipe, ip_adapter_image=picture(1))
    assert hub_server.fetched() == [
        "models/image_encoder/config.json",
        "models/image_encoder/model.safetensors",
        "models/ip-adapter.safetensors",
    ]
    # A pipeline with an encoder doesn't fetch one, and what is in the cache needs no network.
    hub_server.requests.clear()
    given = build(NAME)
    given.load_ip_adapter("owner/adapter", **keywords)
    assert hub_server.fetched() == []
    hub_server.down()
    again = build(NAME, image_encoder=None, feature_extractor=None)
    again.load_ip_adapter("owner/adapter", local_files_only=True, **keywords)
    for one in (given, again):
        assert np.array_equal(draw(one, ip_adapter_image=picture(1)), acting)
    with pytest.raises(CheckpointError):
        again.load_ip_adapter("owner/adapter", **{**keywords, "weight_name": "absent.bin"})
    assert list(again.attachments) == ["ip_adapter"]
