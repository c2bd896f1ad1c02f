"""`autopipe batch` with the demo: real pictures by real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import PIL.ImageChops
import pytest
import torch

from autopipe.cli import main
from autopipe_requests.completing import Completion
from autopipe_requests.drawing import draw
from autopipe_requests.opening import Pipelines
from autopipe_requests.placement import Placement
from autopipe_requests.record import KEY, Record

DEMO = ("--model", "demo:stable_diffusion", "--steps", "2")


@pytest.fixture
def jobs(tmp_path: Path):
    def write(content: str, name: str = "jobs.txt") -> str:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return str(tmp_path / name)

    return write


def pictures(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.glob("*.png") if one.stem != "sheet"}


def batch(*line: str) -> int:
    workers = () if "--workers" in line else ("--workers", "1")
    return main(["batch", *line, *workers, "-q"])


def test_the_number_of_workers_changes_nothing(
    tmp_path: Path, jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jobs("a red circle\na blue square\na green star\n")
    for workers in "1", "2":
        folder = str(tmp_path / workers)
        line = (file, "-o", folder, *DEMO, "--threads", "1", "--workers", workers)
        assert batch(*line) == 0
    first, second = pictures(tmp_path / "1"), pictures(tmp_path / "2")
    assert len(first) == 3
    assert first == second
    capsys.readouterr()
    assert batch(*line, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["drawn"], said["found"], said["total"]) == (0, 3, 3)
    assert pictures(tmp_path / "2") == first


def test_a_picture_is_that_of_its_own_request(tmp_path: Path, jobs) -> None:
    file = jobs('{"prompt": "a red circle", "seed": 5, "guidance": 3}\n', "jobs.jsonl")
    assert batch(file, "-o", str(tmp_path / "out"), *DEMO, "--threads", "1") == 0
    [written] = (tmp_path / "out").glob("*.png")
    request = Completion().complete(
        {
            "prompt": "a red circle", "seed": 5, "guidance_scale": 3, "steps": 2,
            "model": "demo:stable_diffusion",
        }
    )  # fmt: skip
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Pipelines(Placement(device="cpu")) as pipelines:
            [drawn] = draw([request], pipelines)
    finally:
        torch.set_num_threads(before)
    with PIL.Image.open(written) as image:
        assert image.tobytes() == drawn.value.tobytes()
        record = Record.read(image.info[KEY])
    assert written.stem == request.id == record.id == record.request.id
    assert record.drawn.threads == 1


def test_a_batch_of_a_record_is_its_picture(tmp_path: Path, jobs) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert batch(jobs("a red circle\n"), "-o", str(first), *DEMO, "--threads", "1") == 0
    [written] = first.glob("*.png")
    with PIL.Image.open(written) as image:
        file = jobs(image.info[KEY] + "\n", "record.jsonl")
    # A whole request takes no defaults.
    assert batch(file, "-o", str(second), "--steps", "7", "--threads", "1") == 0
    assert pictures(second) == pictures(first)


def test_a_sweep_has_a_contact_sheet(
    tmp_path: Path, jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    file = jobs("prompt,seed\na red circle,7\n", "jobs.csv")
    sweeps = ("--sweep", "scheduler=ddim,euler", "--sweep", "guidance=1,4")
    assert batch(file, "-o", str(out), *DEMO, *sweeps) == 0
    assert len(pictures(out)) == 4
    assert str(out / "sheet.png") in capsys.readouterr().out
    requests = [Record.read(PIL.Image.open(one).info[KEY]).request for one in out.glob("*.png")
                if one.stem != "sheet"]  # fmt: skip
    assert {
        (one.scheduler.name, one.arguments["guidance_scale"], one.seed) for one in requests
    } == {
        (name, guidance, 7)
        for name in ("DDIMScheduler", "EulerDiscreteScheduler")
        for guidance in (1, 4)
    }
    assert batch(file, "-o", str(tmp_path / "no"), *DEMO, *sweeps, "--sheet", "rows=size") == 2
    assert not (tmp_path / "no").exists()
    assert "'size', which is not swept" in capsys.readouterr().err


def test_wrong_lines_are_named_before_anything_is_drawn(
    tmp_path: Path, jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jobs(
        '{"prompt": "a red circle"}\n{"prompt": "b", "stepz": 3}\nnothing\n'
        '{"prompt": "c", "scheduler": "dddim"}\n{"prompt": "d", "seed": -1}\n',
        "jobs.jsonl",
    )
    out = tmp_path / "out"
    assert batch(file, "-o", str(out), *DEMO) == 2
    error = capsys.readouterr().err
    for part in ("line 2: ", "stepz", "line 3: it is not JSON", "line 4: ", "dddim", "line 5: "):
        assert part in error
    assert "--keep-going" in error
    assert not out.exists()
    assert batch(file, "-o", str(out), *DEMO, "--keep-going") == 1
    assert len(pictures(out)) == 1
    assert "line 3: it is not JSON" in capsys.readouterr().out


def test_what_the_pipeline_refuses_is_named_before_anything_is_drawn(
    tmp_path: Path, jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        {"prompt": "a"}, {"prompt": "b", "steps": 0}, {"prompt": "c", "size": [63, 64]},
        {"prompt": "d", "steps": 0}, {"prompt": "e", "scheduler": {"name": "DDIM",
        "config": {"eta_of_nothing": 1}}},
    )  # fmt: skip
    file = jobs("\n".join(map(json.dumps, lines)), "jobs.jsonl")
    assert batch(file, "-o", str(tmp_path / "out"), *DEMO) == 2
    said = capsys.readouterr().err
    for wrong in (
        "line 2: num_inference_steps is 0", "line 3: width is 63", "line 4: num_inference_steps is",
        "line 5: DDIMScheduler has no setting 'eta_of_nothing'",
    ):  # fmt: skip
        assert wrong in said
    assert "line 1" not in said
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, jobs, capsys: pytest.CaptureFixture[str]) -> None:
    line = (jobs("a\nb\na\n"), "-o", str(tmp_path / "out"), *DEMO, "--dry-run")
    assert batch(*line) == 0
    said = capsys.readouterr().out
    assert "2 jobs: 0 drawn, 0 found, 2 left" in said
    assert "1 job equals another one" in said
    assert not (tmp_path / "out").exists()


def test_several_images_of_a_job_are_those_of_its_seeds(tmp_path: Path, jobs) -> None:
    out, file = tmp_path / "out", jobs('{"prompt": "a", "seed": 3}\n', "jobs.jsonl")
    assert batch(file, "-o", str(out), *DEMO, "--num-images", "2", "--type", "webp") == 0
    from autopipe_requests.pictures import texts_of

    records = [Record.read(texts_of(one)[KEY]) for one in out.glob("*.webp")]
    assert sorted(one.request.seed for one in records) == [3, 4]
    assert batch(file, "-o", str(out), *DEMO, "--num-images", "3", "--type", "webp") == 0
    assert len(list(out.glob("*.webp"))) == 3


def test_jobs_that_are_drawn_together_are_nearly_the_same(tmp_path: Path, jobs) -> None:
    file = jobs("a red circle\na blue square\na green star\n")
    for size in "1", "3":
        line = (file, "-o", str(tmp_path / size), *DEMO, "--batch-size", size)
        assert batch(*line, "--threads", "1") == 0
    for one in (tmp_path / "1").glob("*.png"):
        alone, together = PIL.Image.open(one), PIL.Image.open(tmp_path / "3" / one.name)
        # One step of rounding to 8 bits.
        differences = PIL.ImageChops.difference(alone, together).getextrema()
        assert max(most for _, most in differences) <= 1
    rows = [Record.read(PIL.Image.open(one).info[KEY]).drawn.rows for one in
            (tmp_path / "3").glob("*.png")]  # fmt: skip
    assert rows == [3, 3, 3]


def test_programs_of_accelerate_are_one_together(tmp_path: Path, jobs) -> None:
    file = jobs("".join(f"number {i}\n" for i in range(5)))
    line = ["batch", file, *DEMO, "--threads", "1", "--workers", "1", "-q", "-o"]
    assert main([*line, str(tmp_path / "one")]) == 0
    options = "--multi_gpu --num_machines 1 --num_processes 2 --mixed_precision no"
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options.split()]
    launch += ["--dynamo_backend", "no"]
    # Despite its name, it also starts several programs on a machine without accelerators.
    done = subprocess.run(
        [*launch, "-m", "autopipe", *line, str(tmp_path / "two")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(pictures(tmp_path / "one")) == 5
    assert pictures(tmp_path / "two") == pictures(tmp_path / "one")
    parts = sorted(one.name for one in (tmp_path / "two").glob("*.jsonl"))
    assert parts == ["manifest-1-of-2.jsonl", "manifest-2-of-2.jsonl"]
    counts = [len((tmp_path / "two" / one).read_text().splitlines()) - 1 for one in parts]
    assert sorted(counts) == [2, 3]


def test_ctrl_c_leaves_nothing_half_done_and_the_same_command_goes_on(tmp_path: Path, jobs) -> None:
    out = tmp_path / "out"
    file = jobs("".join(f"number {i}\n" for i in range(30)))
    line = ["batch", file, "-o", str(out), "--model", "demo:stable_diffusion", "--steps", "20"]
    child = subprocess.Popen(
        [sys.executable, "-m", "autopipe", *line],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while not list(out.glob("*.png")) and child.poll() is None:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGINT)
        said, error = child.communicate(timeout=120)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130, error
    assert "finishing what is being drawn" in error
    drawn = pictures(out)
    assert 0 < len(drawn) < 30
    assert f"30 jobs: {len(drawn)} drawn, 0 found, {30 - len(drawn)} left" in said
    assert not list(out.glob(".autopipe-saving-*"))
    assert batch(*line[1:]) == 0
    assert len(pictures(out)) == 30
    assert drawn.items() <= pictures(out).items()


def test_help_tells_about_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--sweep", "--sheet", "--keep-going", "--retry", "--on", "--batch-size"):
        assert option in text
