"""Every check a developer or CI runs. Plugins are found by looking, so none is named here."""

from __future__ import annotations

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
    build_tools,
    distribution,
    local_requirements,
    optional_dependencies,
)

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ALL_TESTS = [*(f"{dist}/tests" for dist in DISTS), "tests"]
# The two others are what diffusers cleans captions with.
REFERENCE = ("diffusers==0.42.1", "beautifulsoup4>=4.12", "ftfy>=6.1")
DOCS_TOOLS = ("sphinx==9.0.4", "myst-parser==5.2.0", "furo==2025.12.19", "sphinx-copybutton==0.5.2")


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest from the workspace's root, so that its configuration holds."""
    session.run("python", "-m", "pytest", *arguments, *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Install core and one family, and draw pictures with its small checkpoint."""
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
    """All tests but parity, with wheels of everything installed."""
    install(session, DISTS)
    pytest(session, "-m", "not parity", *ALL_TESTS)


@nox.session
def oldest(session: nox.Session) -> None:
    """All tests but parity, with the lowest versions that are declared, of everything but torch."""
    install(session, DISTS, versions="oldest")
    pytest(session, "-m", "not parity", *ALL_TESTS)


@nox.session
def newest(session: nox.Session) -> None:
    """All tests but parity, with the newest versions that there are, of torch too."""
    install(session, DISTS, versions="newest")
    pytest(session, "-m", "not parity", *ALL_TESTS)


@nox.session(name="base")
def make_base(session: nox.Session) -> None:
    """Make what the other sessions share: an environment of what others publish."""
    install(session, DISTS)


@nox.session
def core(session: nox.Session) -> None:
    """The core alone, with no family."""
    install(session, [CORE])
    pytest(session, "-m", "not parity", "core/tests")


@nox.session
@nox.parametrize("name", [Path(p).name for p in PLUGINS], ids=[Path(p).name for p in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """One plugin with its declared dependencies only."""
    install(session, local_requirements(f"plugins/{name}", TEST_EXTRA))
    pytest(session, "-m", "not parity", f"plugins/{name}/tests")


@nox.session
def extras(session: nox.Session) -> None:
    """Each plugin that works with several families, with one of them at a time."""
    for dist in PLUGINS:
        for extra in optional_dependencies(dist):
            family = f"plugins/{extra.replace('-', '_')}"
            if family not in DISTS:  # an extra of another kind
                continue
            install(session, local_requirements(dist, TEST_EXTRA, extra))
            pytest(session, "-m", "not parity", f"{dist}/tests")
            session.run("python", "-m", "pip", "uninstall", "-y", f"autopipe-{extra}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hypothesis looks for a checkpoint that ends in an error that is none of ours."""
    install(session, [CORE])
    session.env["AUTOPIPE_FUZZ"] = "2000"
    pytest(session, "core/tests/checkpoint/test_fuzz.py")


@nox.session
def light(session: nox.Session) -> None:
    """Nothing heavy is imported by importing, listing and resolving."""
    install(session, DISTS)
    pytest(session, "tests/test_light.py")


@nox.session
def parity(session: nox.Session) -> None:
    """Compare with the reference, which has to be there: the only session that installs it."""
    install(session, DISTS, *REFERENCE)
    pytest(session, "--parity", *ALL_TESTS)


@nox.session
def table(session: nox.Session) -> None:
    """Write the table of what this project publishes; a test compares it with the manifests."""
    install(session, DISTS)
    names = [
        nox.project.load_toml(ROOT / dist / "pyproject.toml")["project"]["name"] for dist in PLUGINS
    ]
    session.run("python", "tools/published.py", *names)


@nox.session
def reference(session: nox.Session) -> None:
    """Write the table of what diffusers has and autopipe has not yet; a parity test compares it."""
    install(session, DISTS, *REFERENCE)
    session.run("python", "tools/reference.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and form of all files: the hooks of .pre-commit-config.yaml."""
    session.install("pre-commit==4.7.0")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Static types: of the product, and of programs that use it by mypy and pyright."""
    install(session, DISTS, "mypy==2.4.1", "pyright[nodejs]==1.1.414")
    session.run("mypy", *[option for package in PACKAGES for option in ("-p", package)])
    pytest(session, "tests/checkers")


@nox.session
def layers(session: nox.Session) -> None:
    """Imports run downward only, inside the core and between the dists, and are declared."""
    install(session, DISTS, "import-linter==2.16", "deptry==0.25.1")
    contracts = Path(session.create_tmp()) / "contracts.ini"
    packages = "\n".join(f"    {name}" for name in PACKAGES)
    inside = (ROOT / "layers.ini").read_text().replace("{packages}", packages)
    contracts.write_text(inside + "".join(dist_contracts()))
    session.run("lint-imports", "--no-cache", "--config", str(contracts))
    for dist in [*DISTS, *OTHERS]:
        # What is imported and not declared; what is declared and found at run time is no import.
        with session.chdir(ROOT / dist):
            imports = ("deptry", "src", "--ignore", "DEP002", "--extend-exclude", "src/.*/example/")
            session.run("python", "-m", *imports, "--no-ansi")


def dist_contracts() -> Iterator[str]:
    """For each dist: it imports none that it doesn't declare to need, and not the reference."""
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
    """The tutorial, command by command: a family made, tested, installed and gone again.

    In a fresh environment outside the repository, with nothing but what it installs. Of this
    workspace that is found as wheels of what it names.
    """
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
        # What is pinned comes from where this machine finds it: the tutorial's commands see wheels
        # of this workspace alone beside the package index.
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
    """Plugins that others might write, as wheels in a fresh environment outside the repository."""
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
        # In a module of which "-k" leaves nothing there is nothing wrong.
        fine = [0, 5] if session.posargs else [0]
        for module in sorted(ROOT.glob("tests/strangers/test_*.py")):
            tests = (python, "-m", "pytest", "--quiet", str(module), *session.posargs)
            session.run(*tests, env=env, external=True, success_codes=fine)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as pages in site/, its gallery drawn anew; every warning is an error."""
    install(session, DISTS, *DOCS_TOOLS)
    session.env["TQDM_DISABLE"] = "1"
    session.run("python", "docs/pictures.py", "docs/index.md", "docs/gallery.md")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "site", *session.posargs)


@nox.session
def benchmark(session: nox.Session) -> None:
    """Measure against the reference; writes a table and JSON. Not part of CI."""
    install(session, DISTS, *REFERENCE)
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make `.venv` to work in: every package as it lies here, with the tools of the checks."""
    session.run("python", "-m", "venv", ".venv")
    python = python_of(ROOT / ".venv")
    editable = [option for dist in DISTS for option in ("-e", dist)]
    tools = (*map(str, TEST_TOOLS), "nox", "pre-commit")
    session.run(str(python), "-m", "pip", "install", "-c", TESTED, *editable, *tools)
    session.log(f"Activate it: {python.with_name('activate')}")


RELEASE_TOOLS = ("bump-my-version==1.8.1", "towncrier==26.9.0")


@nox.session
def changelog(session: nox.Session) -> None:
    """Show what the changelog says of the next release."""
    session.install(*RELEASE_TOOLS)
    session.run("towncrier", "build", "--draft", "--version", "next")


@nox.session
def release(session: nox.Session) -> None:
    """Prepare a release: `-- patch`, `-- minor`, `-- major` or a number. See RELEASING.md.

    Sets the version of every package, moves `changes/` into the changelog, and builds into `dist/`.
    """
    (step,) = session.posargs or session.error("say which: -- patch, -- minor, -- major, -- 1.2.3")
    session.install(*RELEASE_TOOLS)
    new = (step,) if step in ("patch", "minor", "major") else ("--new-version", step)
    session.run("bump-my-version", "bump", "--allow-dirty", *new)
    version = nox.project.load_toml(ROOT / "pyproject.toml")["tool"]["bumpversion"]
    session.run("towncrier", "build", "--yes", "--version", version["current_version"])
    session.notify("dists", posargs=[])


@nox.session
def dists(session: nox.Session) -> None:
    """Wheels and source distributions of all packages in dist/, as a release publishes them.

    `-- v1.2.3` also checks that this is their version.
    """
    version = nox.project.load_toml(ROOT / "pyproject.toml")["tool"]["bumpversion"]
    if session.posargs not in ([], [f"v{version['current_version']}"]):
        session.error(f"{session.posargs[0]} is not the version {version['current_version']}")
    session.install("build==1.6.1", "twine==7.0.0", *map(str, build_tools()))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for dist in DISTS:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", dist)
    built = [str(file) for file in sorted((ROOT / "dist").iterdir())]
    session.run("python", "-m", "twine", "check", "--strict", *built)
