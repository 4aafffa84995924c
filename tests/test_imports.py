"""Which room of the package may import which: the table of CONTRIBUTING.md, checked by syntax."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "speechvq"

# Leaves: they import nothing of ours, so anyone may import them.
LEAVES = {"audio", "config", "mu_law", "settings"}

# Room or top-level module -> the rooms that it may import, leaves and itself apart.
ALLOWED = {
    "__init__": {"model_folder", "models", "sampling"},
    "audio": set(),
    "config": set(),
    "mu_law": set(),
    "settings": set(),
    "weights": set(),
    "codes": set(),
    "model_folder": {"codes", "models", "weights"},
    "prior_folder": {"codes", "model_folder", "models", "weights"},
    "models": set(),
    "data": set(),
    "analysis": {"data"},
    "sampling": {"models"},
    "training": {"codes", "data", "model_folder", "models", "prior_folder", "sampling"},
    "cli": {
        "analysis",
        "codes",
        "data",
        "model_folder",
        "models",
        "prior_folder",
        "sampling",
        "training",
        "__init__",
    },
}
# Inside a room's permission, only these modules of another room.
ONLY = {("analysis", "data"): {"speechvq.data.manifest", "speechvq.data.labels"}}

FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of our modules that a file imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; write the whole name"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                names.add(name if is_module(name) else node.module)
    return {name for name in names if name.split(".")[0] == "speechvq"}


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import_direction(path):
    here = room(path)
    assert here in ALLOWED, f"{here}: a new room; say in this test what it may import"
    for name in imported(path):
        parts = name.split(".")
        there = parts[1] if len(parts) > 1 else "__init__"
        if there == here:
            continue
        if here in LEAVES:
            pytest.fail(f"{path.name} is a leaf and imports {name}")
        if there in LEAVES:
            continue
        assert there in ALLOWED[here], f"{here} must not import {name}"
        only = ONLY.get((here, there))
        assert only is None or ".".join(parts[:3]) in only, f"{here} must not import {name}"


def test_the_test_sees_imports():
    """The parser finds both forms, and modules behind `from speechvq import`."""
    assert "speechvq.audio" in imported(PACKAGE / "data" / "manifest.py")
    assert "speechvq.mu_law" in imported(PACKAGE / "models" / "vqvae.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_commands_print(path):
    if room(path) == "cli":
        return
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls, f"{path.name} prints in line {calls[0]}; libraries log"
