"""`diffusers` means autopipe, where the user asks for it, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autopipe.config import FORMAT_VERSION

CHILD = """
import multiprocessing
import sys
import diffusers

def tell(queue):
    import diffusers
    from diffusers import DDIMScheduler
    queue.put((diffusers.__version__, DDIMScheduler.__module__))

if __name__ == "__main__":
    print(diffusers.__version__, sys.argv)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=tell, args=(queue,))
    process.start()
    print(queue.get(timeout=100))
    process.join()
"""


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **variables},
    )


def checked(script: str) -> str:
    ended = run("-c", script)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_names_modules_and_versions_are_those_of_autopipe() -> None:
    checked(
        "import autopipe, autopipe.as_diffusers\n"
        "import diffusers, importlib.metadata, importlib.util\n"
        "from diffusers import DDIMScheduler, SchedulerMixin\n"
        "from diffusers.schedulers.scheduling_ddim import DDIMScheduler as same\n"
        "import diffusers.utils.logging\n"
        "assert DDIMScheduler is same is autopipe.DDIMScheduler\n"
        "assert diffusers.schedulers is autopipe.schedulers\n"
        f"assert diffusers.__version__ == importlib.metadata.version('diffusers') == "
        f"{FORMAT_VERSION!r}\n"
        "assert importlib.util.find_spec('diffusers') is not None\n"
        "assert 'DDIMScheduler' in dir(diffusers)\n"
        "assert autopipe.__version__ != diffusers.__version__\n"
        "import diffusers.hooks\n"
        "assert not hasattr(diffusers.hooks, 'apply_group_offloading')\n"
    )


def test_what_is_not_here_says_so_and_what_is_nowhere_is_absent() -> None:
    checked(
        "import autopipe.as_diffusers, diffusers\n"
        "for line in ('from diffusers import QwenImagePipeline',\n"
        "             'from diffusers.pipelines.qwenimage import QwenImagePipeline'):\n"
        "    try:\n"
        "        exec(line)\n"
        "    except ImportError as error:\n"
        "        assert 'publish the family' in str(error), error\n"
        "    else:\n"
        "        raise SystemExit(line)\n"
        "assert not hasattr(diffusers, 'QwenImagePipeline')\n"
        "for line in ('import diffusers.nonsense', 'from diffusers.schedulers import Nonsense'):\n"
        "    try:\n"
        "        exec(line)\n"
        "    except ImportError as error:\n"
        "        assert 'onsense' in str(error)\n"
        "    else:\n"
        "        raise SystemExit(line)\n"
    )


def test_a_library_that_only_asks_for_classes_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "compel").mkdir()
    (tmp_path / "compel/__init__.py").write_text("from .inner import *\n")
    (tmp_path / "compel/inner.py").write_text(
        "from diffusers import DDIMScheduler, QwenImagePipeline\n"
    )
    script = (
        "import autopipe, autopipe.as_diffusers, compel\n"
        "assert compel.DDIMScheduler is autopipe.DDIMScheduler\n"
        "assert not isinstance(3, compel.QwenImagePipeline)\n"
        "try:\n"
        "    compel.QwenImagePipeline()\n"
        "except NotImplementedError as error:\n"
        "    assert 'publish the family' in str(error)\n"
        "try:\n"
        "    from diffusers import QwenImagePipeline\n"
        "except ImportError:\n"
        "    print('absent')\n"
    )
    inherited = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = run("-c", script, PYTHONPATH=inherited)
    assert ended.stdout == "absent\n", ended.stderr


def test_it_is_refused_after_the_real_one_and_undone() -> None:
    checked(
        "import sys, types\n"
        "sys.modules['diffusers'] = types.ModuleType('diffusers')\n"
        "finders, path = list(sys.meta_path), list(sys.path)\n"
        "try:\n"
        "    import autopipe.as_diffusers\n"
        "except ImportError as error:\n"
        "    assert 'already imported' in str(error)\n"
        "else:\n"
        "    raise SystemExit('accepted')\n"
        "assert sys.path == path\n"
        "del sys.modules['diffusers']\n"
        "import autopipe.as_diffusers as alias\n"
        "import diffusers.utils\n"
        "alias.enable()\n"
        "alias.disable()\n"
        "assert not [one for one in sys.modules if one.startswith('diffusers')]\n"
        "assert sys.path == path\n"
    )


def test_without_it_diffusers_is_what_is_installed() -> None:
    checked(
        "import sys, autopipe, autopipe.schedulers\n"
        "assert 'diffusers' not in sys.modules\n"
        "assert not any('diffusers' in one for one in sys.path)\n"
    )


def test_a_program_runs_with_its_arguments_and_its_children(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHILD)
    ended = run("-m", "autopipe.as_diffusers", str(program), "a", "--b")
    assert ended.returncode == 0, ended.stderr
    assert f"{FORMAT_VERSION} ['{program}', 'a', '--b']" in ended.stdout
    assert f"('{FORMAT_VERSION}', 'autopipe_components.schedulers.ddim')" in ended.stdout


def test_a_folder_on_the_path_does_the_same(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHILD)
    folder = run("-m", "autopipe.as_diffusers", "--path").stdout.strip()
    assert Path(folder).is_dir()
    inherited = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    ended = run(str(program), PYTHONPATH=inherited)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("autopipe_components.schedulers.ddim") == 1


@pytest.mark.parametrize(
    ("arguments", "text"), [(["nowhere.py"], "no file 'nowhere.py'"), ([], "name a script")]
)
def test_a_script_must_exist(arguments: list[str], text: str) -> None:
    ended = run("-m", "autopipe.as_diffusers", *arguments)
    assert ended.returncode == 2
    assert text in ended.stderr
