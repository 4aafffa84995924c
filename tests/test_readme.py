"""The documents say what the project does."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = "pip install . && bash recipes/vctk/run.sh"
TEST = 'pip install ".[test]" && pytest'


def console_scripts() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    return [line.split("=")[0].strip() for line in lines]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_two_commands():
    lines = [line.strip() for line in read("README.md").splitlines()]
    assert RUN in lines and TEST in lines
    assert TEST in read(".ci/run").splitlines()


@pytest.mark.parametrize("command", console_scripts())
def test_every_command_is_in_the_readme(command):
    assert f"`{command}`" in read("README.md")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "recipes/vctk/README.md"])
def test_relative_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", read(name)):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


def test_confs_are_described():
    described = read("recipes/vctk/README.md")
    for path in (ROOT / "recipes" / "vctk" / "conf").glob("*.yaml"):
        assert path.name in described
