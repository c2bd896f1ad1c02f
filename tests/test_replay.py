"""`autopipe replay`: pictures are drawn again, to the last bit where nothing differs."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from safetensors.torch import load_file, save_file
from support.records import settings_in

from autopipe.checkpoint.address import demo_folder
from autopipe.cli import main
from autopipe.registry import default_registry
from autopipe_requests.pictures import save_image, texts_of
from autopipe_requests.record import KEY, Record
from autopipe_requests.request import Request

DEMO = "demo:stable_diffusion"
SAME = "the same, to the last bit"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures that the demo drew, and the files that they were drawn from."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        photo = PIL.Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
        photo.save("photo.png")
        mask = PIL.Image.new("L", (64, 64))
        mask.paste(255, (16, 16, 48, 48))
        mask.save("mask.png")
        for name, line in LINES.items():
            command = ["generate", "a red circle", "--seed", "7", "--steps", "2", "-q", "-o", name]
            assert main([*command, *line]) == 0
    return folder


LINES = {
    "plain.png": [],
    "plain.jpeg": [],
    "plain.webp": [],
    "image.png": ["--image", "photo.png", "--strength", "0.8"],
    "inside.png": ["--image", "photo.png", "--mask", "mask.png"],
    "hinted.png": ["--controlnet", "demo", "--control-image", "mask.png"],
    "inked.png": ["--lora", "demo:lora:0.5"],
    "karras.png": ["--scheduler", "DPM++ 2M Karras", "--guidance", "3", "--negative", "fog"],
    "several.png": ["--num-images", "3", "--size", "48"],
}


@pytest.fixture(autouse=True)
def _prepared(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a copy of the pictures, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; return what it prints on both channels, in one line."""

    def run(*line: str, code: int = 0) -> str:
        before = set(Path().rglob("*"))
        capsys.readouterr()
        ended = main(["replay", *line, "--device", "cpu", "-q"])
        printed = capsys.readouterr()
        assert ended == code, printed.err
        assert "Traceback" not in printed.err
        if code == 2 or "--check" in line:
            assert set(Path().rglob("*")) == before  # Nothing was written.
        return " ".join(f"{printed.out} {printed.err}".split())

    return run


def pixels(file: str | Path) -> np.ndarray:
    with PIL.Image.open(file) as image:
        return np.asarray(image)


def changed(name: str, source: str = "plain.png", **changes: Any) -> str:
    """Write a picture whose record has other values, by their places, with an id that fits."""
    data = json.loads(texts_of(source)[KEY])
    for place, value in changes.items():
        *outer, last = place.split("__")
        inner = data
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    data["id"] = Request.model_validate(data["request"]).id
    return written(name, {KEY: json.dumps(data)})


def written(name: str, texts: dict[str, str]) -> str:
    save_image(PIL.Image.new("RGB", (64, 64)), Path(name), texts)
    return name


# Ours


@pytest.mark.parametrize(
    "name",
    [*(one for one in LINES if one != "several.png"), *(f"several-{i}.png" for i in (1, 2, 3))],
)
def test_a_picture_is_the_same_to_the_last_bit(name: str, replay: Any) -> None:
    assert replay(name, "--check") == SAME


def test_the_new_file_has_the_same_pixels_and_the_same_record(replay: Any) -> None:
    assert replay("image.png") == f"image-replay.png {SAME}"
    assert np.array_equal(pixels("image-replay.png"), pixels("image.png"))
    assert texts_of("image-replay.png") == texts_of("image.png")
    assert replay("plain.png", "-o", "sub/again.webp") == f"sub/again.webp {SAME}"
    assert np.array_equal(pixels("sub/again.webp"), pixels("plain.png"))
    assert replay("plain.png", "-o", "plain.png") == f"plain.png {SAME}"


def test_the_contents_decide_the_format_not_the_name(replay: Any) -> None:
    Path("plain.png").rename("plain.jpg")
    assert replay("plain.jpg") == f"plain-replay.png {SAME}"
    Path("plain.webp").rename("plain")
    assert replay("plain") == f"plain-replay.webp {SAME}"


def test_a_picture_is_found_with_its_input_where_both_were_moved(replay: Any) -> None:
    Path("there").mkdir()
    for name in ("inside.png", "photo.png", "mask.png"):
        Path(name).rename(f"there/{name}")
    assert replay("there/inside.png", "--check") == SAME
    Path("inputs").mkdir()
    Path("there/photo.png").rename("inputs/photo.png")
    wrong = replay("there/inside.png", "--check", code=2)
    assert "drawn from the file 'photo.png', which isn't in the given folders" in wrong
    assert replay("there/inside.png", "--check", "--folder", "inputs") == SAME


def test_of_several_files_of_one_name_the_same_one_is_found(replay: Any) -> None:
    Path("other").mkdir()
    PIL.Image.new("RGB", (64, 64), "blue").save("other/photo.png")
    assert replay("image.png", "--check", "--folder", "other") == SAME


def test_an_input_that_changed_is_refused_unless_the_user_wants_it(replay: Any) -> None:
    PIL.Image.new("RGB", (64, 64), "blue").save("photo.png")
    wrong = replay("image.png", "--check", code=2)
    assert "photo.png' has changed" in wrong
    assert "use the original file, or give --anyway" in wrong
    told = replay("image.png", "--check", "--anyway", code=1)
    assert "Not as it was drawn: - arguments.image.sha256: " in told
    assert "not the same: " in told


def test_a_lora_in_a_file_is_known_by_its_hash_wherever_it_is(replay: Any) -> None:
    (source,) = Path(demo_folder("lora", default_registry())).glob("*.safetensors")
    Path("loras").mkdir()
    ink = Path(shutil.copy(source, "loras/ink.safetensors"))
    line = ["generate", "a hut", "--seed", "1", "--steps", "2", "-q", "-o", "a.png"]
    assert main([*line, "--lora", "loras/ink.safetensors:0.5"]) == 0
    assert replay("a.png", "--check") == SAME
    ink.rename("ink.safetensors")
    assert replay("a.png", "--check") == SAME  # It is beside the picture.
    Path("ink.safetensors").rename("loras/blue.safetensors")
    assert "'loras/ink.safetensors' of 'lora' is neither there" in replay("a.png", code=2)
    tensors = load_file("loras/blue.safetensors")
    save_file({name: one * 2 for name, one in tensors.items()}, "ink.safetensors")
    assert "'ink.safetensors' has changed" in replay("a.png", code=2)


# Checkpoints


@pytest.fixture
def mine() -> Path:
    """A picture that a local checkpoint drew."""
    shutil.copytree(demo_folder("stable_diffusion", default_registry()), "models/mine")
    line = ["generate", "a hut", "--model", "models/mine", "--seed", "1", "--steps", "2", "-q"]
    assert main([*line, "-o", "mine.png"]) == 0
    return Path("models/mine")


def test_a_local_checkpoint_is_found_by_name_and_refused_if_it_changed(
    mine: Path, replay: Any
) -> None:
    assert replay("mine.png", "--check") == SAME
    mine = mine.rename("mine")
    assert replay("mine.png", "--check") == SAME
    Path("far").mkdir()
    mine = mine.rename("far/mine")
    wrong = replay("mine.png", code=2)
    assert "the checkpoint 'models/mine' is neither there nor in the given folders" in wrong
    assert replay("mine.png", "--check", "--folder", "far") == SAME
    weights = mine / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"] += 1
    save_file(tensors, weights)
    wrong = replay("mine.png", "--folder", "far", code=2)
    assert "the checkpoint 'far/mine' has changed" in wrong
    assert "give --anyway" in wrong
    told = replay("mine.png", "--check", "--folder", "far", "--anyway", code=1)
    assert "checkpoint.fingerprint: " in told


def test_another_checkpoint_is_told_before_it_draws(mine: Path, replay: Any) -> None:
    assert replay("mine.png", "--check", "--model", DEMO) == SAME
    config = mine / "scheduler/scheduler_config.json"
    config.write_text(config.read_text().replace('"beta_end": ', '"beta_end": 0.5, "was": '))
    told = replay("plain.png", "--check", "--model", str(mine), code=1)
    assert "- checkpoint.fingerprint: " in told


def test_a_repository_that_is_not_here_is_named_with_how_to_get_it(replay: Any) -> None:
    commit = "0123456789012345678901234567890123456789"
    name = changed("hub.png", request__checkpoint={"name": "owner/name", "commit": commit})
    Path("name").mkdir()  # A folder of its name is not the repository.
    told = replay(name, code=2)
    assert f"run `autopipe download owner/name --revision {commit}`" in told
    assert "owner/name is neither a local folder nor in the cache" in told


def test_an_add_on_of_the_hub_is_not_fetched(replay: Any) -> None:
    for addon in ("lora", "textual_inversion", "ip_adapter"):
        name = changed("a.png", request__addons=[{"addon": addon, "source": "owner/name"}])
        assert "owner/name is neither" in replay(name, code=2)


# What differs


def test_what_differs_is_told_before_it_is_drawn(replay: Any, monkeypatch: Any) -> None:
    name = changed(
        "a.png",
        drawn__processor="another one\n",
        drawn__instructions="AVX9",
        drawn__device="cuda",
        drawn__pipeline="SomePipeline",
        drawn__versions={"torch": "1.0", "autopipe-core": "0.1.0", "gone": "3"},
    )

    def never(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autopipe_requests.drawing.draw", never)
    told = replay(name, "--check", code=130)
    for words in (
        "Not as it was drawn: - the pipeline: SomePipeline then, StableDiffusionPipeline here",
        "- the device: cuda then, cpu here",
        "- the processor: another one",
        "- the instructions of the processor: AVX9 then, ",
        "- torch: 1.0 then, ",
        "- gone: 3 then, not there here",
        "- autopipe-stable-diffusion: not there then, ",
    ):
        assert words in told
    assert "autopipe-core: " not in told


def test_check_says_how_much_differs(replay: Any) -> None:
    other = pixels("plain.png").copy()
    other[0, 0, 0] ^= 1
    save_image(PIL.Image.fromarray(other), Path("one.png"), texts_of("plain.png"))
    told = replay("one.png", "--check", code=1)
    assert "not the same: 1 of 16,384 values differ, by at most 1 of 255" in told
    save_image(PIL.Image.new("RGB", (32, 64)), Path("two.png"), texts_of("plain.png"))
    assert "1x64x32x4 then, 1x64x64x4 now" in replay("two.png", "--check", code=1)


def test_a_contact_sheet_sends_to_its_pictures(replay: Any) -> None:
    assert "a contact sheet of 3 results; give the file of one of them" in replay(
        "several.png", code=2
    )


def test_the_output_is_checked_before_anything_is_drawn(replay: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("autopipe_requests.opening.load", None)
    assert "images are written as .png" in replay("plain.png", "-o", "a.gif", code=2)
    assert "is a folder" in replay("plain.png", "-o", ".", code=2)
    assert "is not a folder" in replay("plain.png", "-o", "photo.png/a.png", code=2)


# Other programs

FOREIGN = {
    "A1111": {
        "parameters": "a red circle\nNegative prompt: fog\nSteps: 3, Sampler: DPM++ 2M, Schedule "
        "type: Karras, CFG scale: 4.5, Seed: 5, Size: 48x64, Model hash: 0123456789, Model: mine, "
        "Clip skip: 2, ADetailer model: f.pt, Version: v1.10.1"
    },
    "Civitai": {
        "parameters": "a red circle\nNegative prompt: fog\nSteps: 3, Sampler: DPM++ 2M Karras, CFG "
        'scale: 4.5, Seed: 5, Size: 48x64, Clip skip: 2, Hashes: {"model": "0123456789"}, Civitai '
        'resources: [{"type":"checkpoint","modelVersionId":1,"modelName":"mine"},'
        '{"type":"embed","modelVersionId":2}], Civitai metadata: {}'
    },
    "InvokeAI": {
        "invokeai_metadata": json.dumps({
            "app_version": "4.2.0",
            "generation_mode": "txt2img",
            "positive_prompt": "a red circle",
            "negative_prompt": "fog",
            "width": 48,
            "height": 64,
            "seed": 5,
            "rand_device": "cuda",
            "cfg_scale": 4.5,
            "steps": 3,
            "scheduler": "dpmpp_2m_k",
            "clip_skip": 1,
            "model": {"name": "mine", "base": "sd-1"},
            "controlnets": [{"image": {}}],
        })
    },
    "ComfyUI": {
        "prompt": json.dumps({
            "3": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": 5, "steps": 3, "cfg": 4.5, "sampler_name": "dpmpp_2m",
                    "scheduler": "karras", "denoise": 1.0, "model": ["4", 0],
                    "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
                },
            },
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mine.ckpt"}},
            "5": {
                "class_type": "EmptyLatentImage",
                "inputs": {"width": 48, "height": 64, "batch_size": 1},
            },
            "6": {
                "class_type": "CLIPTextEncode",
                "inputs": {"text": "a red circle", "clip": ["8", 0]},
            },
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["8", 0]}},
            "8": {
                "class_type": "CLIPSetLastLayer",
                "inputs": {"clip": ["4", 1], "stop_at_clip_layer": -2},
            },
            "9": {"class_type": "UpscaleByWish", "inputs": {}},
        })
    },
}  # fmt: skip
TOLD = {
    "A1111": ("- ADetailer's repainting of details", "- its noise was drawn on a GPU"),
    "Civitai": ("- Civitai's embed 'civitai:2'", "- its noise was drawn on a GPU"),
    "InvokeAI": ("- ControlNets", "- its noise was drawn on 'cuda'"),
    "ComfyUI": ("- nodes that aren't read here: UpscaleByWish", ""),
}


@pytest.mark.parametrize("program", FOREIGN)
def test_a_picture_of_another_program_is_drawn(program: str, replay: Any) -> None:
    name = written("theirs.png", FOREIGN[program])
    missing = replay(name, code=2)
    assert "give --model CHECKPOINT, or --folder" in missing
    told = replay(name, "--model", DEMO)
    assert "Not taken over: " in told
    for words in TOLD[program]:
        assert words in told
    assert "theirs-replay.png" in told
    assert "same" not in told  # It can't be, so nothing is compared.
    found = settings_in("theirs-replay.png")
    expected = {
        "prompt": "a red circle", "negative": "fog", "steps": 3, "guidance": 4.5, "seed": 5,
        "size": "48x64", "clip_skip": 1, "model": DEMO,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["scheduler"].startswith("DPMSolverMultistepScheduler (")
    assert "use_karras_sigmas=true" in found["scheduler"]
    # And as ours, it can be drawn again.
    assert replay("theirs-replay.png", "--check") == SAME
    line = "a red circle", "--negative", "fog", "--steps", "3", "--guidance", "4.5", "--seed", "5"
    more = "--size", "48x64", "--scheduler", "DPM++ 2M Karras", "--set", "clip_skip=1"
    assert main(["generate", *line, *more, "-q", "-o", "ours.png"]) == 0
    assert np.array_equal(pixels("ours.png"), pixels("theirs-replay.png"))


def test_model_and_loras_are_found_by_their_names(mine: Path, replay: Any) -> None:
    (source,) = Path(demo_folder("lora", default_registry())).glob("*.safetensors")
    shutil.copy(source, "models/ink.safetensors")
    text = FOREIGN["A1111"]["parameters"].replace(
        "circle\n", "circle <lora:ink:0.5> <lora:gone:1>\n"
    )
    told = replay(written("a.png", {"parameters": text}), "--folder", "models")
    assert "- the LoRA 'gone', which isn't in the given folders" in told
    found = settings_in("a-replay.png")
    assert found["model"] == "models/mine"
    assert found["attach"] == ["lora=models/ink.safetensors:0.5"]
    assert found["prompt"] == "a red circle"


def test_weights_of_words_are_read_by_the_programs_grammar(replay: Any) -> None:
    text = "a (red:1.3) circle\nSteps: 2, Sampler: Euler, Seed: 1, RNG: CPU"
    replay(written("a.png", {"parameters": text}), "--model", DEMO)
    assert settings_in("a-replay.png")["attach"] == ["a1111"]


def test_what_has_no_meaning_for_the_pipeline_is_left_and_told(replay: Any) -> None:
    text = "a hut\nSteps: 2, Sampler: Euler, CFG scale: 3, Denoising strength: 0.4, RNG: CPU"
    told = replay(written("a.png", {"parameters": text}), "--model", DEMO)
    assert "- the strength, which is for an image to start from" in told
    assert "- the seed, which it doesn't have; a random one is used" in told
    assert settings_in("a-replay.png")["task"] == "text2image"


def test_their_check_compares_too(replay: Any) -> None:
    name = written("a.png", {"parameters": "a hut\nSteps: 2, Seed: 1, CFG scale: 3, Size: 64x64"})
    assert "not the same: " in replay(name, "--model", DEMO, "--check", code=1)


# Hostile


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "an absolute path": (
        {"request__arguments": {"prompt": "x", "image": {"file": "/etc/hostname"}},
         "request__task": "image2image"},
        "drawn from the file 'hostname', which isn't in the given folders",
    ),
    "a path as text": (
        {"request__arguments": {"prompt": "x", "image": "../../../etc/hostname"},
         "request__task": "image2image"},
        "drawn from the file 'hostname', which isn't in the given folders",
    ),
    "a parent": (
        {"request__arguments": {"prompt": "x", "image": {"file": "..", "sha256": "0"}},
         "request__task": "image2image"},
        "drawn from the file '..', which isn't in the given folders",
    ),
    "an address": (
        {"request__arguments": {"prompt": "x", "image": "http://127.0.0.1:1/x.png"},
         "request__task": "image2image"},
        "only files are opened here",
    ),
    "a huge size": ({"request__size": [65536, 65536]}, "asks for 65,536 x 65,536 pixels"),
    "a huge height": (
        {"request__arguments": {"prompt": "x", "height": 10**9}}, "1,000,000,000 pixels",
    ),
    "many steps": (
        {"request__arguments": {"prompt": "x", "num_inference_steps": 10_000}},
        "num_inference_steps 10,000, which may take more time or memory than there is; give "
        "--anyway",
    ),
    "many rows": ({"drawn__rows": 10**9}, "1,000,000,000 results in one call"),
    "a row that isn't there": ({"drawn__row": 3}, "row is less than rows"),
    "fewer than no rows": ({"drawn__rows": -1}, "drawn.rows: "),
    "a long prompt": (
        {"request__arguments": {"prompt": "x" * 1_000_000}}, "prompt of 1,000,000 characters",
    ),
    "a large schedule": (
        {"request__scheduler": {"name": "DDIM", "config": {"num_train_timesteps": 10**12}}},
        "num_train_timesteps 1,000,000,000,000",
    ),
    "a setting that isn't one": (
        {"request__scheduler": {"name": "DDIM", "config": {"return_unused_kwargs": True}}},
        "DDIMScheduler has no setting 'return_unused_kwargs'",
    ),
    "a wrong setting": (
        {"request__scheduler": {"name": "DDIMScheduler", "config": {"beta_start": "x\x1b[2J"}}},
        "beta_start",
    ),
    "another class": ({"request__scheduler": {"name": "os.system"}}, "no scheduler 'os.system'"),
    "an add-on that isn't there": ({"request__addons": [{"addon": "evil"}]}, "'evil'"),
    "a strange strength": (
        {"request__addons": [{"addon": "lora", "source": "demo:lora", "strength": {"a": ["b"]}}]},
        "lora",
    ),
    "an engine that isn't there": ({"request__engine": "evil"}, "'evil'"),
    "a task that isn't there": ({"request__task": "evil"}, "evil"),
    "a condition that isn't there": (
        {"request__conditions": {"evil": {"name": "x"}}}, "there is no condition 'evil'",
    ),
    "code as a stage": (
        {"request__stages": {"custom_pipeline": "owner/evil"}},
        "there is no stage 'custom_pipeline'",
    ),
    "trust as a stage": (
        {"request__stages": {"trust_remote_code": "1"}}, "there is no stage 'trust_remote_code'",
    ),
    "trust as an argument": (
        {"request__arguments": {"prompt": "x", "trust_remote_code": True}},
        "doesn't take 'trust_remote_code'",
    ),
    "code as an argument": (
        {"request__arguments": {"prompt": "x", "custom_pipeline": "/tmp"}},
        "doesn't take 'custom_pipeline'",
    ),
    "a callback": (
        {"request__arguments": {"prompt": "x", "callback_on_step_end": "os.system"}},
        "doesn't take 'callback_on_step_end'",
    ),
    "a checkpoint at an address": (
        {"request__checkpoint": {"name": "https://127.0.0.1/x"}}, "https://127.0.0.1/x",
    ),
    "a checkpoint above": ({"request__checkpoint": {"name": "../.."}}, "../.. has no model_index"),
    "nobody's checkpoint": (
        {"request__checkpoint": {"name": "~nobody-here/x", "fingerprint": "0"}}, "~nobody-here/x",
    ),
    "a null in a name": (
        {"request__checkpoint": {"name": "a\0b/c", "fingerprint": "0"}}, "\\x00",
    ),
    "a long name": (
        {"request__checkpoint": {"name": "a/" + "x" * 5000, "fingerprint": "0"}}, "...xxx",
    ),
    "a strange variant": (
        {"request__checkpoint": {"name": DEMO, "variant": "../../x"}}, "variant",
    ),
    "a strange dtype": ({"request__checkpoint": {"name": DEMO, "dtype": "evil"}}, "evil"),
    "a strange config": (
        {"request__checkpoint": {"name": DEMO, "config": "/etc"}}, "is for a single file",
    ),
    "many versions": ({"drawn__versions": {f"p{i}": "1" for i in range(9999)},
                       "request__task": "evil"}, "evil"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_record_is_a_sentence(what: str, replay: Any) -> None:
    changes, words = HOSTILE[what]
    name = changed("evil.png", **changes)
    said = replay(name, code=2)
    assert words in said
    assert said.count("autopipe: ") == 1
    assert len(said) < 2000


def test_only_the_first_of_many_differences_are_told(replay: Any) -> None:
    name = changed("a.png", drawn__versions={f"p{i}": "1" for i in range(9999)})
    told = replay(name, "--check", code=1)
    assert told.count("\n") + told.count(" then, ") < 40
    assert "more" in told


@pytest.mark.parametrize("depth", [50, 150, 500, 5000, 1_000_000])
def test_deep_values_are_a_sentence(depth: int, replay: Any) -> None:
    record = texts_of("plain.png")[KEY]
    for place in ('"arguments":{', '"versions":{'):
        deep = record.replace(place, f'{place}"x":{"[" * depth}{"]" * depth},')
        assert deep != record
        assert "autopipe: " in replay(written("a.png", {KEY: deep[: 1 << 20]}), code=2)


def test_other_texts_than_records_are_a_sentence(replay: Any) -> None:
    record = Record.read(texts_of("plain.png")[KEY]).text()
    for text in ("", "{}", "[]", "null", record[:-1], record.replace('"seed":7', '"seed":8'),
                 record.replace('"seed":7', '"seed":-1'), record.replace("{", '{"format":2,', 1),
                 record.replace('"seed":7', '"seed":7,"trust_remote_code":true')):  # fmt: skip
        assert "autopipe: " in replay(written("a.png", {KEY: text}), code=2)
    assert "no settings that are known here" in replay("photo.png", code=2)
    Path("a.png").write_bytes(b"text")
    assert "is not a PNG" in replay("a.png", code=2)
    assert "there is no file" in replay("gone.png", code=2)


def test_what_the_user_wants_anyway_is_drawn(replay: Any) -> None:
    steps = {"prompt": "x", "num_inference_steps": 2, "eta": 0.0}
    name = changed("a.png", request__arguments=steps, drawn__rows=2, drawn__row=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autopipe_requests.limits.MOST", 1)
        assert "num_inference_steps 2" in replay(name, code=2)
        replay(name, "--anyway")
    assert settings_in("a-replay.png")["steps"] == 2
