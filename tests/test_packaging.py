"""Checks of all distributions of this workspace."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from importlib_metadata import entry_points
from packaging.version import Version

import autopipe
from autopipe.registry import default_registry
from autopipe.resolution.flaws import EARLIER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # installed as a requirement of pytest

ROOT = Path(__file__).parents[1]
PROJECTS = {
    file.parent: tomllib.loads(file.read_text(encoding="utf-8"))
    for file in [ROOT / "core/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
}
NAMES = {project["project"]["name"] for project in PROJECTS.values()}
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = WORKSPACE["tool"]["bumpversion"]["current_version"]

each_dist = pytest.mark.parametrize(
    ("folder", "project"),
    [pytest.param(f, p["project"], id=p["project"]["name"]) for f, p in PROJECTS.items()],
)


def package_of(folder: Path) -> Path:
    """Return the folder of the import package of a dist."""
    (package,) = (p for p in (folder / "src").iterdir() if p.name.startswith("autopipe"))
    return package


def is_needed(name: str) -> bool:
    """Whether a dist with an entry point requires the dist `name`."""
    found = [p["project"] for p in PROJECTS.values() if "entry-points" in p["project"]]
    required = {re.match(r"[\w.-]+", d)[0] for one in found for d in one["dependencies"]}
    return name in required


@each_dist
def test_versions_move_in_lockstep(folder: Path, project: dict) -> None:
    assert project["version"] == VERSION == autopipe.__version__
    siblings = [d for d in project["dependencies"] if re.match(r"[\w.-]+", d)[0] in NAMES]
    assert all(d.endswith(f"=={VERSION}") for d in siblings)
    assert folder == ROOT / "core" or siblings, "a plugin needs the core"


def test_what_was_to_be_removed_by_this_release_is_gone() -> None:
    ends = [earlier.until for earlier in EARLIER.values() if earlier.until]
    for source in (file for folder in PROJECTS for file in folder.glob("src/**/*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "deprecated":
                ends += [ast.literal_eval(k.value) for k in node.keywords if k.arg == "until"]
    assert [end for end in ends if Version(end) <= Version(VERSION)] == []


def test_every_note_of_a_change_is_of_a_kind_that_the_changelog_has() -> None:
    kinds = {kind["directory"] for kind in WORKSPACE["tool"]["towncrier"]["type"]}
    notes = [file for file in (ROOT / "changes").iterdir() if file.name != "README.md"]
    assert [
        n.name for n in notes if not re.fullmatch(rf"\+[\w-]+\.({'|'.join(kinds)})\.md", n.name)
    ] == []
    told = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "changes/README.md").read_text(encoding="utf-8"), re.M
    )
    assert set(told) == kinds


@each_dist
def test_it_is_typed_licensed_and_described(folder: Path, project: dict) -> None:
    assert (package_of(folder) / "py.typed").is_file()
    # A package that ships files of others names their licences too.
    first, *others = project["license"].split(" AND ")
    assert first == "Apache-2.0"
    assert len(project.get("license-files", [folder / "LICENSE"])) == 1 + len(others)
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert project["requires-python"] == ">=3.10"
    readme = (folder / project["readme"]).read_text(encoding="utf-8")
    assert readme.startswith(f"# {project['name']}\n")
    assert len(readme.split()) > 40


@each_dist
def test_dependencies_have_lower_bounds(folder: Path, project: dict) -> None:
    for dependency in project["dependencies"]:
        assert re.search(r">=|==", dependency), f"{dependency} accepts versions never tested"


@each_dist
def test_a_plugin_is_found_by_its_entry_point(folder: Path, project: dict) -> None:
    if folder == ROOT / "core":
        assert project["scripts"] == {"autopipe": "autopipe.cli:main"}
        return
    declared = project.get("entry-points", {}).get("autopipe.families", {})
    if not declared:
        assert is_needed(project["name"]), "it is neither found nor a library of those that are"
        return
    installed = {e.name: e.value for e in entry_points(group="autopipe.families")}
    assert declared.items() <= installed.items()
    assert set(declared) <= set(default_registry().families), default_registry().problems


@each_dist
def test_a_family_checks_its_conformance(folder: Path, project: dict) -> None:
    offered = project.get("entry-points", {}).get("autopipe.families", {})
    for name in offered:
        if default_registry().families[name].pipelines:
            suite = (folder / "tests/test_conformance.py").read_text(encoding="utf-8")
            assert f'family = "{name}"' in suite


SKIPS = re.compile(
    r"\bimportorskip\(|find_spec\(f?[\"']autopipe_"
    r"|support\.steered import [^()]*\(?[^()]*\b(needs|installed)\b"
)


@each_dist
def test_tests_with_all_that_a_package_declares_leave_nothing_out(
    folder: Path, project: dict
) -> None:
    """Or a test runs nowhere: the checks run those of most packages only in this way."""
    siblings = {name.removeprefix("autopipe-") for name in NAMES}
    if siblings & project.get("optional-dependencies", {}).keys():
        return  # It works with one of several families; with all of them, they all run.
    files = [f for f in folder.glob("tests/**/*.py") if "parity" not in f.relative_to(folder).parts]
    skipping = [f.name for f in files if SKIPS.search(f.read_text(encoding="utf-8"))]
    assert skipping == []


def test_no_plugin_has_a_problem() -> None:
    assert default_registry().problems == ()


def _targets(are_public: bool) -> list[Any]:
    """Return the name and target of every entry that has a public name, or of the others.

    The others count for checkpoints of their plugin's own lines alone.
    """
    return [
        pytest.param(entry.name, entry.target, id=f"{family.name}:{entry.name}")
        for family in default_registry().families.values()
        for entry in (*family.pipelines, *family.components, *family.exports)
        if getattr(entry, "is_public", True) is are_public
    ]


PUBLIC = _targets(are_public=True)
HIDDEN = _targets(are_public=False)


def defined_names(module: str) -> set[str]:
    """Return the names that the source of `module` defines, without imported names."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"there is no module {module}"
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    named = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assigned = {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return named | assigned


@pytest.mark.parametrize(("name", "target"), [*PUBLIC, *HIDDEN])
def test_every_target_is_defined_in_the_module_it_names(name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    names = defined_names(module)
    # A module may make names when they are asked for.
    is_made = "__getattr__" in names and hasattr(importlib.import_module(module), attribute)
    assert attribute in names or is_made


@pytest.mark.parametrize(("name", "target"), PUBLIC)
def test_every_name_is_importable_from_autopipe(name: str, target: str) -> None:
    found = getattr(autopipe, name)
    assert f"{found.__module__}:{found.__qualname__}" == target
    assert name in dir(autopipe)


@pytest.mark.parametrize(("name", "target"), HIDDEN)
def test_what_counts_for_own_lines_alone_has_no_public_name(name: str, target: str) -> None:
    assert default_registry().target(name) != target


def test_the_families_demo_folders_are_in_their_packages() -> None:
    for family in default_registry().families.values():
        if family.demo is not None:
            package, _, folder = family.demo.partition(":")
            spec = importlib.util.find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            # The demo of a condition is a single model, that of an add-on a file of tensors.
            other = "config.json" if family.conditions else "*.safetensors"
            file = "model_index.json" if family.demo_opens else other
            assert any((Path(spec.origin).parent / folder).glob(file))


def test_what_is_written_from_the_manifests_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("published", ROOT / "tools/published.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    registry, dists = default_registry(), NAMES - {"autopipe-core"}
    table = module.text(module.table(registry, dists))
    assert module.FILE.read_text(encoding="utf-8") == table, "run: python -m nox -s table"
    stub = module.stub(registry, dists)
    assert module.STUB.read_text(encoding="utf-8") == stub, "run: python -m nox -s table"


def test_nothing_speaks_of_the_stranger_that_has_our_name_on_the_index() -> None:
    """Check that no pip line or requirement names `autopipe`, which is a foreign project."""
    bare = re.compile(
        r"pip install[^`\n]* \"?autopipe(?![\w-])"
        r"|^\s*\"autopipe(\[[^\"\n]*\]|\s*[=<>~!]=[^\"\n]*)\",?$",
        re.MULTILINE,
    )
    files = [
        file
        for pattern in ("*.md", "*.py", "*.toml", "*.yml", "*.yaml", "*.json", "*.sh", "*.txt")
        for file in ROOT.rglob(pattern)
        if not {".git", ".nox", "site", "build", ".venv", "demo-pictures"} & set(file.parts)
    ]
    assert len(files) > 100
    found = [
        f"{file.relative_to(ROOT)}: {match[0].strip()}"
        for file in files
        for match in bare.finditer(file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_stub_has_every_public_name_and_no_other() -> None:
    stub = (ROOT / "core/src/autopipe/__init__.pyi").read_text(encoding="utf-8")
    exported = re.findall(r"^from \S+ import \w+ as (\w+)$", stub, re.MULTILINE)
    definition = r"^(?:class )?(\w+)(?:(?:: _TypeAlias)? = |: _ModuleType$|\()"
    defined = re.findall(definition, stub, re.MULTILINE)
    found = {name for name in (*exported, *defined) if not name.startswith("_")}
    assert found == {name for name in dir(autopipe) if not name.startswith("_")}
    assert "def __getattr__" not in stub
