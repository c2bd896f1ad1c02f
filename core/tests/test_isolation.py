"""Plugins as pip installs them, in processes of their own: one that is bad harms no other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.dists import env, python, write_dist, write_plugin

GOOD = """
from autopipe import Family, Pipeline, Task, hookimpl

@hookimpl
def autopipe_family():
    return Family({name!r}, pipelines=(
        Pipeline({cls!r}, "plugin_{name}:{cls}", Task.TEXT2IMAGE, {name!r}),
    ){more})
"""
SHOW = """
import json
from autopipe import registry
if __name__ == "__main__":
    print(json.dumps({
        "families": sorted(registry.families),
        "problems": {p.plugin.name: [p.kind, str(p)] for p in registry.problems},
    }))
"""


def good(name: str, cls: str | None = None, more: str = "") -> str:
    return GOOD.format(name=name, cls=cls or f"{name.title()}Pipeline", more=more)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with one sound plugin, `sound`."""
    write_plugin(tmp_path, "sound", good("sound"))
    return tmp_path


def seen(*sites: Path, **environ: str) -> dict:
    done = python(["-c", SHOW], *sites, **environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


BAD = {
    "raises": ("raise RuntimeError('no such kernel')", "broken", "no such kernel"),
    "leaves": ("import sys; sys.exit(3)", "broken", "SystemExit"),
    "lacks": ("import a_module_that_is_absent", "broken", "a_module_that_is_absent"),
    "typo": ("def autopipe_family(:", "broken", "SyntaxError"),
    "hookless": ("", "broken", "autopipe_family"),
    "nonsense": (good("nonsense").replace("Family(", "dict(").replace("'nonsense', ", ""),
                 "broken", "dict"),
    "shapeless": (good("shapeless", more=", components=('a',)"), "broken", "Component"),
    "newer": (good("newer", more=", api=99"), "incompatible", "API 99"),
}  # fmt: skip


def test_every_bad_plugin_is_named_with_dist_version_and_reason(site: Path) -> None:
    for name, (source, _, _) in BAD.items():
        write_plugin(site, name, source, version="2.5")
    found = seen(site)
    assert "sound" in found["families"]
    assert not set(BAD) & set(found["families"])
    for name, (_, kind, reason) in BAD.items():
        assert found["problems"][name][0] == kind, name
        assert f"(dist-{name} 2.5)" in found["problems"][name][1]
        assert reason in found["problems"][name][1]


def test_doctor_names_it_and_says_how_to_mend_it(site: Path) -> None:
    write_plugin(site, "raises", BAD["raises"][0])
    done = python(["-m", "autopipe", "doctor", "--json"], site)
    assert done.returncode == 1
    (finding,) = (f for f in json.loads(done.stdout)["findings"] if "raises" in f["subject"])
    assert "dist-raises 1.0" in finding["subject"]
    assert "no such kernel" in finding["reason"]
    assert finding["hint"].startswith("python -m pip install")


def skew(site: Path, package: str) -> dict:
    """What doctor says of `package`."""
    done = python(["-m", "autopipe", "doctor", "--json"], site)
    assert done.returncode == 1
    return next(
        f for f in json.loads(done.stdout)["findings"] if f["subject"] == f"package {package}"
    )


def test_doctor_finds_a_plugin_made_for_another_core(site: Path) -> None:
    write_plugin(site, "newer", good("newer"), requires=["autopipe-core>=99"])
    write_plugin(site, "older", good("older"), requires=["autopipe-core<99"])
    finding = skew(site, "autopipe-core")
    assert "dist-newer needs >=99" in finding["reason"]
    assert "dist-older" not in finding["reason"]
    line = finding["hint"].removeprefix("python -m pip install --upgrade ").split()
    assert "dist-newer" in line
    assert any(word == "autopipe-core" or Path(word).name == "core" for word in line)


def test_doctor_finds_a_stranger_that_has_the_modules_name(site: Path) -> None:
    write_dist(site, "autopipe", {}, version="0.3")
    (site / "autopipe-0.3.dist-info" / "top_level.txt").write_text("autopipe\n")
    finding = skew(site, "autopipe")
    assert "provides the module autopipe" in finding["reason"]
    first, then = finding["hint"].split(", then ")
    assert first == "python -m pip uninstall autopipe"
    assert "--force-reinstall" in then


COMMANDS = """
from autopipe import Command, Manifest, hookimpl

@hookimpl
def autopipe_family():
    return Manifest("tools",
        commands=(
            Command("wave", "plugin_tools:declare", "greet"),
            Command("torn", "plugin_tools:torn", "50 %"),
        ),
    )

def declare(parser):
    parser.add_argument("name")
    return lambda arguments: print("Hello,", arguments.name) or 0

def torn(parser):
    raise RuntimeError("torn apart")
"""


def test_a_strangers_commands_are_on_the_command_line(site: Path) -> None:
    write_plugin(site, "tools", COMMANDS)
    write_plugin(site, "raises", BAD["raises"][0])
    done = python(["-m", "autopipe", "wave", "Ada"], site)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, Ada\n", "")
    torn = python(["-m", "autopipe", "torn"], site)
    assert torn.returncode == 2
    assert "the command torn can't be used" in torn.stderr
    assert "torn apart" in torn.stderr
    listed = python(["-m", "autopipe", "--help"], site).stdout
    assert {"wave", "torn", "families"} <= set(listed.split())


def test_doctor_finds_plugins_that_contradict_each_other(site: Path) -> None:
    write_dist(site, "paint", {}, version="1.5")
    write_plugin(site, "low", good("low"), requires=["paint<2"])
    write_plugin(site, "high", good("high"), requires=["paint>=2"])
    finding = skew(site, "paint")
    assert finding["reason"] == "dist-high needs >=2, but 1.5 is installed"
    assert finding["hint"] == "python -m pip install --upgrade dist-high dist-low paint"


def test_doctor_gives_the_version_that_does_for_all(site: Path) -> None:
    write_dist(site, "paint", {}, version="1.5")
    write_plugin(site, "low", good("low"), requires=["paint<3"])
    for name in ("high", "tall"):
        write_plugin(site, name, good(name), requires=["paint>=2", "absent>=1"])
    assert skew(site, "paint")["hint"] == "python -m pip install 'paint>=2,<3'"
    assert skew(site, "absent")["hint"] == "python -m pip install 'absent>=1'"


def test_an_error_that_a_broken_plugin_may_explain_names_it(site: Path) -> None:
    write_plugin(site, "raises", BAD["raises"][0])
    done = python(["-c", "from autopipe import registry; registry.resolve('Lost')"], site)
    assert "UnsupportedCheckpointError" in done.stderr
    assert "dist-raises 1.0" in done.stderr
    assert "no such kernel" in done.stderr


def test_a_plugin_that_hangs_is_named(site: Path) -> None:
    write_plugin(site, "hangs", "import time\ntime.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "autopipe", "families"],
        stderr=subprocess.PIPE,
        text=True,
        env=env(site, AUTOPIPE_DEBUG="1"),
        # A test run in the background may have been told to ignore it, and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if "hangs" in line:
                break
        assert line == "autopipe: importing the plugin hangs (dist-hangs 1.0)\n"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert "stopped while importing the plugin hangs (dist-hangs 1.0)" in rest
    assert process.returncode == 130


def test_one_that_is_left_out_is_not_imported(site: Path) -> None:
    write_plugin(site, "hangs", "import time\ntime.sleep(600)")
    for environ in ({"AUTOPIPE_DISABLE": "dist-hangs"}, {"AUTOPIPE_PLUGINS": "sound"}):
        found = seen(site, **environ)
        assert "sound" in found["families"]
        assert found["problems"]["hangs"][0] == "disabled"
    assert found["families"] == ["sound"]


def test_strict_stops_at_the_first_problem_and_names_it(site: Path) -> None:
    write_plugin(site, "raises", BAD["raises"][0])
    done = python(["-c", SHOW], site, AUTOPIPE_STRICT="1")
    assert "PluginError" in done.stderr
    assert "dist-raises 1.0" in done.stderr


def test_a_plugin_that_is_twice_on_the_path_counts_once(site: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    write_plugin(second, "sound", good("sound"), version="0.9")
    found = seen(site, second)
    assert found["families"].count("sound") == 1
    assert found["problems"].get("sound") is None
    # Under another spelling of the dist's name it is still the same one.
    third = tmp_path / "third"
    write_dist(third, "Dist_Sound", {"sound": "plugin_sound"})
    assert seen(site, third) == found


def test_worker_processes_see_what_is_installed_and_not_what_was_registered(
    site: Path, tmp_path: Path
) -> None:
    script = tmp_path / "workers.py"
    script.write_text(
        "import multiprocessing\n"
        "from autopipe import Family, registry\n"
        "def families():\n"
        "    return sorted(registry.families)\n"
        "if __name__ == '__main__':\n"
        "    before = families()\n"
        "    registry.register(Family('noted'))\n"
        "    assert families() == sorted([*before, 'noted'])\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert pool.apply(families) == before\n"
        "    assert 'sound' in before\n"
    )
    done = python([str(script)], site)
    assert done.returncode == 0, done.stderr


ASKS_BACK = {
    "registers": "registry.register(Family('other'))",
    "imports": "autopipe.DDIMScheduler",
    "lists": "dir(autopipe); list(registry.tasks)",
    "parses": "Task.parse('a task of nobody')",
    "in a thread": "threading.Thread(target=lambda: registry.families, daemon=True).start()",
    "waits": "t = threading.Thread(target=registry.default_registry, daemon=True);"
    " t.start(); t.join()",
    "locks": "registry._lock.acquire()",
    "loads": "from autopipe import DiffusionPipeline",
}
"""What plugins ask of the registry while it is being made of them."""

ASKING = """
import threading, autopipe
from autopipe import Family, Task, hookimpl, registry
from autopipe.resolution import lock
lock.PATIENCE = 0.5

def ask():
    {ask}

{at_import}
@hookimpl
def autopipe_family():
    ask()
    return Family({name!r})
"""


@pytest.mark.parametrize("at_import", [False, True])
def test_a_plugin_that_asks_back_gets_an_answer_or_is_a_problem(
    site: Path, at_import: bool
) -> None:
    for i, ask in enumerate(ASKS_BACK.values()):
        source = ASKING.format(ask=ask, at_import="ask()" if at_import else "", name=f"asks{i}")
        write_plugin(site, f"asks{i}", source)
    threaded = "import threading; from autopipe import registry\n"
    threaded += "got = []; t = threading.Thread(target=lambda: got.append(registry.families))\n"
    threaded += "t.start(); t.join(60); assert got\n"
    done = subprocess.run(
        [sys.executable, "-c", SHOW + threaded],
        capture_output=True, text=True, env=env(site), timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "sound" in found["families"]
    used = {name for name in found["families"] if name.startswith("asks")}
    bad = {name for name in found["problems"] if name.startswith("asks")}
    assert len(used | bad) == len(ASKS_BACK)
    assert not used & bad
    assert {found["problems"][name][0] for name in bad} <= {"broken"}
    assert {"asks0", "asks1"} <= bad
