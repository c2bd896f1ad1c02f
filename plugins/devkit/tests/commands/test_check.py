"""`autopipe check`: the page of an installed family, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.dists import env, write_dist

from autopipe.cli import main
from autopipe_devkit.scaffold import create


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of an installed family `zoo`, whose image to image forgets its guidance."""
    folder = create("zoo", tmp_path_factory.mktemp("work") / "project")
    write_dist(folder / "src", "autopipe-zoo", {"zoo": "autopipe_zoo.family"})
    file = folder / "src/autopipe_zoo/image2image.py"
    text = file.read_text(encoding="utf-8")
    broken = text.replace(
        "call.check()", "call.__dict__['guidance_scale'] = 1.0\n        call.check()"
    )
    assert broken != text
    file.write_text(broken, encoding="utf-8")
    return folder


def check(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autopipe", "check", "zoo", *options],
        cwd=project,
        env=env(project / "src", COLUMNS="80"),
        capture_output=True,
        text=True,
    )


def test_a_fault_is_told_in_a_sentence(project: Path) -> None:
    only = ("--only", "effects", "--only", "seed", "--size", "16")
    done = check(project, *only, "--output", "page.html")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "  FAILED      effects: " in done.stdout
    assert "effects: guidance_scale has no effect in image2image\n" in done.stdout
    assert "zoo: 6 checks, 5 passed, 1 failed\n" in done.stdout
    assert "in its own tests: give them with --tests" in " ".join(done.stderr.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "guidance_scale has no effect" in (project / "page.html").read_text(encoding="utf-8")


def test_the_tests_of_the_family_say_what_they_expect(project: Path) -> None:
    tests = project / "tests/test_conformance.py"
    excused = tests.read_text(encoding="utf-8") + (
        "    expected_failures = {'effects-ZooImg2ImgPipeline': 'guidance comes later'}\n"
    )
    (project / "tests/test_excused.py").write_text(excused, encoding="utf-8")
    done = check(project, "--tests", "tests/test_excused.py", "--only", "effects", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"]
    assert [one["reason"] for one in told["checks"] if one["outcome"] == "expected"] == [
        "guidance comes later"
    ]


def test_a_check_that_does_not_apply_is_told(project: Path) -> None:
    done = check(project, "--only", "call")
    assert done.returncode == 2
    assert "no check named call applies to zoo" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "nobody"),
        (("devkit",), "give a tiny one with --checkpoint"),
        (("devkit", "--only", "sed"), "seed"),
        (("devkit", "--output", "page.txt"), ".md, .html or .json"),
        (("devkit", "--checkpoint", "absent"), "absent"),
        (("devkit", "--tests", "absent.py"), "absent.py"),
        (("devkit", "--tests", "absent.py", "--size", "16"), "--tests says itself"),
        (("devkit", "--size", "small"), "not a size"),
    ],
)
def test_a_mistake_is_explained(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["check", *arguments])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert said in capsys.readouterr().err
