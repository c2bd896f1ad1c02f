"""Every check a developer or CI runs. Plugins are found by looking, so none is named here."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
CORE = "core"
PLUGINS = sorted(
    f.parent.relative_to(ROOT).as_posix() for f in ROOT.glob("plugins/*/pyproject.toml")
)
DISTS = [CORE, *PLUGINS]
SOURCES = [f"{dist}/src" for dist in DISTS]
PACKAGES = [package.name for source in SOURCES for package in (ROOT / source).glob("autopipe*")]

TEST_TOOLS = ("pytest>=8", "hypothesis>=6.100")
# The two others are what diffusers cleans captions with.
REFERENCE = ("diffusers==0.42.1", "beautifulsoup4>=4.12", "ftfy>=6.1")
DOCS_TOOLS = ("sphinx==9.0.4", "myst-parser==5.2.0", "furo==2025.12.19", "sphinx-copybutton==0.5.2")
# Small models gain nothing from more threads, and two test runs then share a small machine.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


TEST_EXTRA = "test"
"""The extra in which a plugin declares what its tests need."""


def local_requirements(dist: str, *extras: str) -> list[str]:
    """`dist` and the dists of this workspace that it declares to need, those needed first.

    With `extras`, also what these optional dependencies name.
    """
    by_name = {distribution(d): d for d in DISTS}
    project = nox.project.load_toml(ROOT / dist / "pyproject.toml")["project"]
    optional = [one for extra in extras for one in optional_dependencies(dist).get(extra, ())]
    found: list[str] = []
    for requirement in [*project["dependencies"], *optional]:
        needed = by_name.get(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
        if needed:
            found += [d for d in local_requirements(needed) if d not in found]
    return [*found, dist]


def distribution(dist: str) -> str:
    """The name under which `dist` is published."""
    name: str = nox.project.load_toml(ROOT / dist / "pyproject.toml")["project"]["name"]
    return name


def optional_dependencies(dist: str) -> dict[str, list[str]]:
    """What `dist` declares to need or to work with, by extra."""
    project = nox.project.load_toml(ROOT / dist / "pyproject.toml")["project"]
    declared: dict[str, list[str]] = project.get("optional-dependencies", {})
    return declared


def install(session: nox.Session, dists: list[str], *tools: str) -> None:
    """Build wheels of `dists` and install them, with `tools`, at the versions that are tested."""
    paths = [f"./{dist}" for dist in dists]
    session.install("-c", "constraints.txt", *paths, *tools)
    session.env.update(ENVIRONMENT)


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
    install(session, DISTS, *TEST_TOOLS)
    pytest(session, "-m", "not parity", *[f"{d}/tests" for d in DISTS], "tests")


@nox.session
def core(session: nox.Session) -> None:
    """The core alone, with no family."""
    install(session, [CORE], *TEST_TOOLS)
    pytest(session, "-m", "not parity", "core/tests")


@nox.session
@nox.parametrize("name", [Path(p).name for p in PLUGINS], ids=[Path(p).name for p in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """One plugin with its declared dependencies only."""
    install(session, local_requirements(f"plugins/{name}", TEST_EXTRA), *TEST_TOOLS)
    pytest(session, "-m", "not parity", f"plugins/{name}/tests")


@nox.session
def extras(session: nox.Session) -> None:
    """Each plugin that works with several families, with one of them at a time."""
    for dist in PLUGINS:
        for extra in optional_dependencies(dist):
            family = f"plugins/{extra.replace('-', '_')}"
            if family not in DISTS:  # an extra of another kind
                continue
            install(session, local_requirements(dist, TEST_EXTRA), *TEST_TOOLS)
            install(session, local_requirements(family))
            pytest(session, "-m", "not parity", f"{dist}/tests")
            session.run("python", "-m", "pip", "uninstall", "-y", f"autopipe-{extra}")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hypothesis looks for a checkpoint that ends in an error that is none of ours."""
    install(session, [CORE], *TEST_TOOLS)
    session.env["AUTOPIPE_FUZZ"] = "2000"
    pytest(session, "core/tests/checkpoint/test_fuzz.py")


@nox.session
def light(session: nox.Session) -> None:
    """Nothing heavy is imported by importing, listing and resolving."""
    install(session, DISTS, *TEST_TOOLS)
    pytest(session, "tests/test_light.py")


@nox.session
def parity(session: nox.Session) -> None:
    """Compare with the reference implementation: the only session that installs it."""
    install(session, DISTS, *TEST_TOOLS, *REFERENCE)
    pytest(session, "-m", "parity", *[f"{d}/tests" for d in DISTS], "tests")


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
    """Style and format."""
    session.install("ruff==0.17.5")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types of the product."""
    install(session, DISTS, "mypy==2.4.1")
    session.run("mypy", *[option for package in PACKAGES for option in ("-p", package)])


@nox.session
def layers(session: nox.Session) -> None:
    """Imports run downward only: inside the core, and between the dists."""
    session.install("import-linter==2.16")
    session.env["PYTHONPATH"] = os.pathsep.join(str(ROOT / source) for source in SOURCES)
    contracts = Path(session.create_tmp()) / "contracts.ini"
    packages = "\n".join(f"    {name}" for name in PACKAGES)
    inside = (ROOT / "layers.ini").read_text().replace("{packages}", packages)
    contracts.write_text(inside + "".join(dist_contracts()))
    session.run("lint-imports", "--no-cache", "--config", str(contracts))


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
        wheels, place = Path(folder, "wheels"), Path(folder, "work")
        place.mkdir()
        wheel = ("python", "-m", "pip", "wheel", "--no-deps", "-w", str(wheels))
        session.run(*wheel, *[f"./{dist}" for dist in sorted(needed)])
        session.run("python", "-m", "venv", f"{folder}/venv")
        bin_ = Path(folder, "venv/bin")
        env = {
            **ENVIRONMENT,
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_FIND_LINKS": str(wheels),
            "PYTHONPATH": "",
        }

        def run(*command: str, cwd: Path = place, silent: bool = False) -> str:
            with session.chdir(cwd):
                found = session.run(*command, env=env, external=True, silent=silent)
            return str(found)

        python, autopipe = str(bin_ / "python"), str(bin_ / "autopipe")
        # What is pinned comes from where this machine finds it: the tutorial's commands see wheels
        # of this workspace alone beside the package index.
        constraints = str(ROOT / "constraints.txt")
        session.run(python, "-m", "pip", "install", "--quiet", "-r", constraints, external=True)
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
    projects = sorted(f.parent for f in ROOT.glob("tests/strangers/*/pyproject.toml"))
    family = ["plugins/devkit", "plugins/stable_diffusion"]
    needed = {local for dist in family for local in local_requirements(dist)}
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = str(Path(folder, "ours")), str(Path(folder, "theirs"))
        wheel = ("python", "-m", "pip", "wheel", "--no-deps", "-w")
        session.run(*wheel, ours, *[f"./{dist}" for dist in sorted(needed)])
        session.run(*wheel, theirs, *map(str, projects))
        session.run("python", "-m", "venv", f"{folder}/venv")
        python = str(Path(folder, "venv/bin/python"))
        wheels = [str(file) for file in sorted(Path(ours).iterdir())]
        env = {**ENVIRONMENT, "PYTHONPATH": "", "STRANGERS_WHEELS": theirs}
        requirements = ("-c", "constraints.txt", "pytest>=8", *wheels)
        session.run(python, "-m", "pip", "install", *requirements, env=env, external=True)
        # In a module of which "-k" leaves nothing there is nothing wrong.
        fine = [0, 5] if session.posargs else [0]
        for module in sorted(ROOT.glob("tests/strangers/test_*.py")):
            tests = (python, "-m", "pytest", "--quiet", str(module), *session.posargs)
            session.run(*tests, env=env, external=True, success_codes=fine)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as pages in site/: every warning, as of a broken link, is an error."""
    install(session, DISTS, *DOCS_TOOLS)
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
    bin_ = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    editable = [option for dist in DISTS for option in ("-e", dist)]
    tools = (*TEST_TOOLS, "nox", "pre-commit")
    pip = (str(bin_ / "python"), "-m", "pip", "install", "-c", "constraints.txt")
    session.run(*pip, *editable, *tools)
    session.log(f"Activate it: {bin_ / 'activate'}")


RELEASE_TOOLS = ("bump-my-version==1.8.1", "towncrier==26.9.0", "build==1.3.0")


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
    for dist in DISTS:
        session.run("python", "-m", "build", "--outdir", "dist", dist)
