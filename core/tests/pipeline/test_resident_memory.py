"""What a process holds, measured: closing gives it back, and the disk keeps what it was given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc, as Linux has it"
)

TESTS = Path(__file__).parents[3] / "tests"

START = """
import json, sys, torch
from pathlib import Path
from torch import nn
from support.relay import RelayPipeline, PaintingPipeline, Coder

LAYERS, WIDTH = 6, 1536
MEGABYTES = 3 * LAYERS * WIDTH * WIDTH * 4 / 1e6

def held():
    # Without pages of mapped files, which the system takes back when it needs them.
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("RssAnon:") + 1]) * 1024 / 1e6

class Tower(nn.Sequential):
    def __init__(self):
        super().__init__(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))

class Last(Tower):
    def decode(self, x):
        return self(x)

def pipeline():
    return RelayPipeline(Tower(), Tower(), Last())

torch.set_grad_enabled(False)
# What is imported at the first use is no weight.
small = RelayPipeline(nn.Linear(2, 2), nn.Linear(2, 2), Coder(2))
small.enable_sequential_cpu_offload(device="cpu")
small.coder.decode(small.reader(torch.ones(1, 2)))
"""


def measured(script: str, *arguments: str) -> dict[str, Any]:
    """What a script, run in a process of its own, prints as JSON at last."""
    done = subprocess.run(
        [sys.executable, "-c", START + script, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=None, cwd=TESTS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


CLOSE = """
def by_close(pipe):
    PaintingPipeline.from_pipe(pipe).close()

def by_with(pipe):
    with pipe:
        pass

found = []
for place, end in (
    (lambda pipe: None, by_close),
    (lambda pipe: None, by_with),
    (lambda pipe: pipe.enable_model_cpu_offload(device="cpu"), by_with),
    (lambda pipe: pipe.enable_sequential_cpu_offload(device="cpu"), by_close),
):
    before = held()
    pipe = pipeline()
    place(pipe)
    loaded = held() - before
    end(pipe)
    found.append([loaded, held() - before])
print(json.dumps({"weights": MEGABYTES, "found": found}))
"""


def test_closing_gives_the_memory_back() -> None:
    measures = measured(CLOSE)
    assert len(measures["found"]) == 4
    for loaded, left in measures["found"]:
        assert loaded > 0.95 * measures["weights"]
        # A few megabytes are what torch and Python keep for themselves.
        assert left < 0.1 * measures["weights"]


FROM_DISK = """
before = held()
pipe = pipeline()
resident = held() - before
pipe.set_device_map({"": "disk"}, offload_folder=sys.argv[1])
placed = held() - before
most = [0.0]
for network in pipe._networks().values():
    for layer in network:
        layer.register_forward_hook(lambda *_: most.append(held() - before))
x = torch.ones(1, WIDTH)
pipe.coder.decode(pipe.painter(pipe.reader(x)))
print(json.dumps({"weights": MEGABYTES, "resident": resident, "placed": placed,
                  "most": max(most), "layers": len(most) - 1}))
"""


def test_what_is_on_the_disk_is_never_held_as_a_whole(tmp_path: Path) -> None:
    found = measured(FROM_DISK, str(tmp_path))
    assert found["layers"] == 18
    assert found["resident"] > 0.95 * found["weights"]
    assert found["placed"] < 0.1 * found["weights"]
    assert found["most"] < 0.1 * found["weights"]
