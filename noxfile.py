"""The checks that developers and CI run. Plugins are found by their files, not listed here."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from environments import ENVIRONMENT, TEST_TOOLS, TESTED, base, install, lend, python_of, wheels
from workspace import (
    CORE,
    DISTS,
    OTHERS,
    PACKAGES,
    PLUGINS,
    ROOT,
    TEST_EXTRA,
    TESTED_ALONE,
    build_tools,
    distribution,
    for_one_of_several,
    local_requirements,
    optional_dependencies,
)

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ALL_TESTS = [*(f"{dist}/tests" for dist in DISTS), "tests"]
# diffusers uses peft for LoRAs, and bs4 and ftfy to clean captions.
PEFT = "peft==0.21.0"
REFERENCE = ("diffusers==0.42.1", "beautifulsoup4>=4.12", "compel==2.5.1", "ftfy>=6.1", PEFT)
DOCS_TOOLS = ("sphinx==9.0.4", "myst-parser==5.2.0", "furo==2025.12.19", "sphinx-copybutton==0.5.2")


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest in the root of the workspace, so that its configuration applies."""
    session.run("python", "-m", "pytest", *arguments, *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Install the core and one family, and generate pictures with its demo checkpoint."""
    install(session, local_requirements("plugins/stable_diffusion"))
    session.env["OMP_NUM_THREADS"] = "2"
    pictures = ROOT / "demo-pictures"
    pictures.mkdir(exist_ok=True)
    drawn, changed = str(pictures / "circle.png"), str(pictures / "blue-circle.png")
    painted, mask = str(pictures / "star-inside.png"), str(pictures / "mask.png")
    generate = ("autopipe", "generate")
    session.run(*generate, "a red circle on a white background", "--seed", "1", "-o", drawn)
    session.run(*generate, "a green star", "--num-images", "4", "-o", str(pictures / "star.png"))
    session.run(
        *generate, "a blue circle on a white background",
        "--image", drawn, "--strength", "0.8", "-o", changed,
    )  # fmt: skip
    session.run(
        "python", "-c",
        "import sys; from PIL import Image; m = Image.new('L', (64, 64)); "
        "m.paste(255, (16, 16, 48, 48)); m.save(sys.argv[1])",
        mask,
    )  # fmt: skip
    session.run(
        *generate, "a yellow star on a white background",
        "--image", drawn, "--mask", mask, "-o", painted,
    )  # fmt: skip
    session.log(f"The pictures are in {pictures}")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests except parity, with wheels of all packages; tell which took longest."""
    install(session, DISTS)
    left_out = {f"{dist}/tests" for dist in os.environ.get(TESTED_ALONE, "").split()}
    folders = [folder for folder in ALL_TESTS if folder not in left_out]
    pytest(session, "-m", "not parity", "--durations=25", *folders)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run all tests except parity with the lowest declared versions, except for torch."""
    install(session, DISTS, versions="oldest")
    pytest(session, "-m", "not parity", *ALL_TESTS)


@nox.session
def newest(session: nox.Session) -> None:
    """Run all tests except parity with the newest versions, including torch."""
    install(session, DISTS, versions="newest")
    pytest(session, "-m", "not parity", *ALL_TESTS)


@nox.session(name="base")
def make_base(session: nox.Session) -> None:
    """Create the environment of third-party packages that the other sessions share."""
    install(session, DISTS)


@nox.session
def core(session: nox.Session) -> None:
    """Run the tests of the core with no family installed."""
    install(session, [CORE])
    pytest(session, "-m", "not parity", "core/tests")


@nox.session
@nox.parametrize("name", [Path(p).name for p in PLUGINS], ids=[Path(p).name for p in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """Run the tests of one plugin with only its declared dependencies."""
    install(session, local_requirements(f"plugins/{name}", TEST_EXTRA))
    pytest(session, "-m", "not parity", f"plugins/{name}/tests")


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests of plugins that support several families, with one family at a time."""
    for dist in PLUGINS:
        for family in for_one_of_several(dist):
            extra = distribution(family).removeprefix("autopipe-")
            install(session, local_requirements(dist, TEST_EXTRA, extra))
            pytest(session, "-m", "not parity", f"{dist}/tests")
            session.run("python", "-m", "pip", "uninstall", "-y", distribution(family))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Search with Hypothesis for checkpoints that raise errors from outside autopipe.errors."""
    install(session, [CORE])
    session.env["AUTOPIPE_FUZZ"] = "2000"
    pytest(session, "core/tests/checkpoint/test_fuzz.py")


@nox.session
def light(session: nox.Session) -> None:
    """Check that importing, listing and resolving import no heavy packages."""
    install(session, DISTS)
    pytest(session, "tests/test_light.py")


@nox.session
def parity(session: nox.Session) -> None:
    """Run the tests that compare with diffusers; they fail if it is absent."""
    install(session, DISTS, *REFERENCE)
    pytest(session, "--parity", *ALL_TESTS)


@nox.session
def table(session: nox.Session) -> None:
    """Write the table and the stub of all published names; a test checks both."""
    install(session, DISTS)
    names = [
        nox.project.load_toml(ROOT / dist / "pyproject.toml")["project"]["name"] for dist in PLUGINS
    ]
    session.run("python", "tools/published.py", *names)


@nox.session
def reference(session: nox.Session) -> None:
    """Write the table of what autopipe lacks of diffusers; a parity test checks the table."""
    install(session, DISTS, *REFERENCE)
    session.run("python", "tools/reference.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of all files with the hooks of .pre-commit-config.yaml."""
    session.install("pre-commit==4.7.0")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of all packages with mypy, and of programs with mypy and pyright."""
    install(session, DISTS, "mypy==2.4.1", PEFT, "pyright[nodejs]==1.1.414")
    session.run("mypy", *[option for package in PACKAGES for option in ("-p", package)])
    pytest(session, "tests/checkers")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports respect the layers, in the core and between dists, and are declared."""
    install(session, DISTS, "import-linter==2.16", "deptry==0.25.1")
    contracts = Path(session.create_tmp()) / "contracts.ini"
    packages = "\n".join(f"    {name}" for name in PACKAGES)
    inside = (ROOT / "layers.ini").read_text().replace("{packages}", packages)
    contracts.write_text(inside + "".join(dist_contracts()))
    session.run("lint-imports", "--no-cache", "--config", str(contracts))
    # Part of Python since 3.14, and not imported before.
    known = ("--per-rule-ignores", "DEP001=annotationlib")
    for dist in [*DISTS, *OTHERS]:
        # Only undeclared imports; declared packages may be found at run time without an import.
        with session.chdir(ROOT / dist):
            imports = ("deptry", "src", "--ignore", "DEP002", "--extend-exclude", "src/.*/example/")
            session.run("python", "-m", *imports, *known, "--no-ansi")


def dist_contracts() -> Iterator[str]:
    """Yield a contract per dist: it imports no undeclared dist, and not diffusers."""
    package = {d: next((ROOT / d / "src").glob("autopipe*")).name for d in DISTS}
    for dist in DISTS:
        needed = local_requirements(dist, *(optional_dependencies(dist).keys() - {TEST_EXTRA}))
        others = [package[d] for d in DISTS if d not in needed]
        yield (
            f"\n[importlinter:contract:{package[dist]}]\n"
            f"name = {package[dist]} imports only what it declares\n"
            f"type = forbidden\nsource_modules = {package[dist]}\n"
            f"forbidden_modules =\n" + "".join(f"    {name}\n" for name in [*others, "diffusers"])
        )


@nox.session
def third_party(session: nox.Session) -> None:
    """Run the tutorial in a fresh environment: create, test, install and remove a family."""
    # Outside the repository, with nothing but what the tutorial installs. The packages of this
    # workspace that it names are provided as wheels.
    tutorial = (ROOT / "docs/publish-a-family.md").read_text(encoding="utf-8")
    commands = "".join(re.findall(r"^```sh\n(.*?)^```", tutorial, re.MULTILINE | re.DOTALL))
    named = [d for d in DISTS if re.search(rf"\b{distribution(d)}\b", commands)]
    needed = {local for dist in named for local in local_requirements(dist)}
    with tempfile.TemporaryDirectory() as folder:
        ours, place = Path(folder, "wheels"), Path(folder, "work")
        place.mkdir()
        wheels(session, sorted(needed), ours)
        session.run("python", "-m", "venv", f"{folder}/venv")
        bin_ = Path(folder, "venv/bin")
        env = {
            **ENVIRONMENT,
            "PIP_CONSTRAINT": str(ROOT / TESTED),
            "PIP_FIND_LINKS": str(ours),
            "PYTHONPATH": "",
        }

        def run(*command: str, cwd: Path = place, silent: bool = False) -> str:
            with session.chdir(cwd):
                found = session.run(*command, env=env, external=True, silent=silent)
            return str(found)

        python, autopipe = str(bin_ / "python"), str(bin_ / "autopipe")
        # Pinned packages are installed first, by the machine's own configuration of pip. The
        # tutorial's commands only see the package index and wheels of this workspace.
        pinned = ("-r", str(ROOT / TESTED))
        session.run(python, "-m", "pip", "install", "--quiet", *pinned, external=True)
        run("bash", "-euxc", f'export PATH="{bin_}:$PATH"\n{commands}')
        (project,) = place.iterdir()
        assert (project / "circle.png").is_file()
        run(python, "-m", "pip", "uninstall", "--yes", "--quiet", project.name)
        assert project.name not in run(autopipe, "families", silent=True)
        (wheel,) = project.glob("dist/*.whl")
        run(python, "-m", "pip", "install", "--quiet", str(wheel))
        assert project.name in run(autopipe, "families", silent=True)
        run(autopipe, "doctor")
        run(python, "-m", "pytest", "--quiet", "tests", cwd=project)
        run(python, "-m", "pip", "uninstall", "--yes", "--quiet", project.name)
        assert project.name not in run(autopipe, "families", silent=True)


@nox.session
def strangers(session: nox.Session) -> None:
    """Test plugins like those of other authors, as wheels in a fresh environment."""
    projects = [project for project in OTHERS if project.startswith("tests/strangers/")]
    family = ["plugins/devkit", "plugins/stable_diffusion"]
    needed = {local for dist in family for local in local_requirements(dist)}
    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder, "theirs")
        session.run("python", "-m", "venv", f"{folder}/venv")
        python = str(python_of(Path(folder, "venv")))
        lend(session, base(session), python)
        wheels(session, projects, theirs)
        env = {**ENVIRONMENT, "STRANGERS_WHEELS": str(theirs)}
        built = wheels(session, sorted(needed), Path(folder, "ours"))
        bare = ("install", "--quiet", "--no-deps", "--no-index")
        session.run(python, "-m", "pip", *bare, *built, env=env, external=True)
        # With arguments such as "-k", a module in which no tests are selected is not a failure.
        fine = [0, 5] if session.posargs else [0]
        for module in sorted(ROOT.glob("tests/strangers/test_*.py")):
            tests = (python, "-m", "pytest", "--quiet", str(module), *session.posargs)
            session.run(*tests, env=env, external=True, success_codes=fine)


@nox.session
def browser(session: nox.Session) -> None:
    """Test the page of `autopipe ui` in Chromium; it fails if Chromium is absent."""
    install(session, DISTS, "playwright==1.65.2")
    pytest(session, "--browser", "tests/browser")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in site/ and redraw its gallery; every warning is an error."""
    install(session, DISTS, *DOCS_TOOLS)
    session.env["TQDM_DISABLE"] = "1"
    session.run("python", "docs/pictures.py", "docs/index.md", "docs/gallery.md")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "site", *session.posargs)


@nox.session
def benchmark(session: nox.Session) -> None:
    """Measure against diffusers, and print a table with goals. Not part of CI."""
    install(session, DISTS, *REFERENCE)
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Create `.venv` for development: all packages in editable mode, and the tools."""
    session.run("python", "-m", "venv", ".venv")
    python = python_of(ROOT / ".venv")
    editable = [option for dist in DISTS for option in ("-e", dist)]
    tools = (*map(str, TEST_TOOLS), "nox", "pre-commit")
    session.run(str(python), "-m", "pip", "install", "-c", TESTED, *editable, *tools)
    session.log(f"Activate it: {python.with_name('activate')}")


RELEASE_TOOLS = ("bump-my-version==1.8.1", "towncrier==26.9.0")


@nox.session
def changelog(session: nox.Session) -> None:
    """Show the changelog of the next release."""
    session.install(*RELEASE_TOOLS)
    session.run("towncrier", "build", "--draft", "--version", "next")


@nox.session
def release(session: nox.Session) -> None:
    """Prepare a release: `-- patch`, `-- minor`, `-- major` or a version. See RELEASING.md."""
    # Sets the version of all packages, moves `changes/` into the changelog, and builds `dist/`.
    (step,) = session.posargs or session.error("say which: -- patch, -- minor, -- major, -- 1.2.3")
    session.install(*RELEASE_TOOLS)
    new = (step,) if step in ("patch", "minor", "major") else ("--new-version", step)
    session.run("bump-my-version", "bump", "--allow-dirty", *new)
    version = nox.project.load_toml(ROOT / "pyproject.toml")["tool"]["bumpversion"]
    session.run("towncrier", "build", "--yes", "--version", version["current_version"])
    session.notify("dists", posargs=[])


@nox.session
def dists(session: nox.Session) -> None:
    """Build all packages in dist/ for a release; `-- v1.2.3` also checks the version."""
    version = nox.project.load_toml(ROOT / "pyproject.toml")["tool"]["bumpversion"]
    if session.posargs not in ([], [f"v{version['current_version']}"]):
        session.error(f"{session.posargs[0]} is not the version {version['current_version']}")
    session.install("build==1.6.1", "twine==7.0.0", *map(str, build_tools()))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for dist in DISTS:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", dist)
    built = [str(file) for file in sorted((ROOT / "dist").iterdir())]
    session.run("python", "-m", "twine", "check", "--strict", *built)
