"""The rooms of the house: imports run downhill, and physics knows no configuration, no files and no plots."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "invdesign"

# Each room may import from itself and from the rooms before it.
ORDER = [
    *("constants", "units", "errors", "results", "schema", "compiled"),
    *("processes", "electrostatics", "materials", "device", "optics", "solve", "analyses"),
    *("figures", "optimize", "design", "datasets", "fitting", "sensitivity"),
    *("paper", "run", "report", "jobs", "presets", "config", "listing", "cli", "__main__"),
]
PHYSICS = ORDER[: ORDER.index("run")]
NOT_FOR_PHYSICS = {"hydra", "omegaconf", "yaml", "rich", "matplotlib", "platformdirs"}
ONLY_CONFIG_AND_CLI = {"hydra", "omegaconf"}


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, inside functions too."""
    found = set()
    package = ["invdesign", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" for alias in node.names} if name == "invdesign" else {name}
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room(path) != "__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downhill(path):
    here = room(path)
    assert here in ORDER, f"give the room {here} its place in ORDER"
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("invdesign.")} - {"__version__"}
    uphill = {name for name in ours if ORDER.index(name) > ORDER.index(here)}
    assert not uphill, f"{path} imports from {uphill}, which stand above it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_config_and_cli_know_hydra_and_physics_knows_no_files_or_plots(path):
    libraries = {name.split(".")[0] for name in imports(path)}
    forbidden = set() if room(path) in ("config", "cli") else set(ONLY_CONFIG_AND_CLI)
    if room(path) in PHYSICS:
        forbidden |= NOT_FOR_PHYSICS
    assert not libraries & forbidden


def test_the_reader_of_imports_sees_relative_and_hidden_ones():
    path = PACKAGE / "optimize" / "settings.py"
    assert "invdesign.schema" in imports(path)  # written as `from ..schema import ...`
    assert "invdesign.listing" in imports(PACKAGE / "cli.py")  # inside a function
