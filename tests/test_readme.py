"""The documents say what the project does."""

import configparser
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = 'pip install ".[report]" && bash recipes/vctk/run.sh'
TEST = 'pip install ".[test]" && pytest'
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "recipes/vctk/README.md",
    "recipes/vctk/RESULTS.md",
    "recipes/vctk/standin/README.md",
    "recipes/asterisk/README.md",
    "recipes/librispeech/README.md",
    "speechvq/pretrained/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]
CONNECTORS = {"&&", "||", "|", ";", ">", ">>", "<", "&", "(", ")"}
PLACEHOLDERS = {"…", "..."}


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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", read(name)):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_headings_lead_somewhere(name):
    for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", read(name)):
        path = (ROOT / name).parent / target if target else ROOT / name
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
        assert heading in anchors, f"{name} links to {target}#{heading}"


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Code blocks with their language, "" for shell commands."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield language, block
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:^(?: {4}|\t).*\n|^\n(?= {4}))+", text, re.MULTILINE):
        yield "", block


def of_today(block: str) -> str:
    """The lines of a block before one that checks out an older commit."""
    return re.split(r"^\s*git checkout [0-9a-f]{7,40}\b.*$", block, maxsplit=1, flags=re.MULTILINE)[
        0
    ]


def commands(name: str) -> Iterator[list[str]]:
    """The commands of a document's code blocks and of its text, each as a list of words."""
    text = read(name)
    lines = [
        line
        for language, block in blocks(text)
        if language in ("", "bash")
        for line in of_today(block).replace("\\\n", " ").splitlines()
    ]
    prose = re.sub(r"^```.*?^```|^ {4}.*$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [code for code in re.findall(r"`([^`\n]+)`", prose) if " --" in code]
    for line in lines:
        if not line.strip().startswith(("speechvq-", "python ", "bash ", "torchrun ", "pip ")):
            continue
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
        lexer.whitespace_split = True
        for word in [*lexer, "&&"]:
            if word in CONNECTORS:
                yield words
                words = []
            else:
                words.append(word)


def check(words: list[str], folder: Path = ROOT) -> None:
    """Fail if a command, a script or an option of it does not exist."""
    match words:
        case ["torchrun", *_, "-m", module, _, _, _, _] if module.startswith("speechvq.cli."):
            parse(module.removeprefix("speechvq.cli."), words[words.index(module) + 1 :])
        case ["python", "-c", code, *rest]:
            parse(re.search(r"speechvq\.cli\.(\w+)", code)[1], rest, strict=False)
        case ["python" | "bash", script, *rest] if script.endswith((".py", ".sh", "run")):
            path = ROOT / script
            text = (path if path.exists() else folder / script).read_text(encoding="utf-8")
            own = rest[: rest.index("--")] if "--" in rest else rest
            for option in [word.partition("=")[0] for word in own if word.startswith("--")]:
                assert option in text, f"{script} has no option {option}"
            if "--" in rest:
                conf = own[own.index("--conf") + 1] if "--conf" in own else "cpu.yaml"
                config = ["--config", f"recipes/vctk/conf/{conf}"]
                parse("train", config + rest[rest.index("--") + 1 :])
        case ["pip", "install", *rest]:
            for extra in re.findall(r"\[(\w+)\]", " ".join(rest)):
                assert extra in read("setup.cfg")
        case [command, *rest] if command.startswith("speechvq-"):
            assert command in console_scripts()
            if not PLACEHOLDERS & set(rest):
                parse(command.removeprefix("speechvq-"), rest)


def parse(command: str, arguments: list[str], strict: bool = True) -> None:
    """Parse the arguments of a command; SystemExit or ValueError if it would refuse them."""
    if command == "train" and arguments[:1] == ["prior"]:
        command, arguments = "train_prior", arguments[1:]
    if command == "analyze" and arguments:
        importlib.import_module("speechvq.cli.analyze").parser().parse_args(arguments[:1])
        command, arguments = f"analyze_{arguments[0]}", arguments[1:]
    parser = importlib.import_module(f"speechvq.cli.{command}").parser()
    if not strict:  # settings of a part that is not imported here
        options = [word for word in arguments if word.startswith("--")]
        assert set(options) <= set(parser._option_string_actions)
    elif command.startswith("train"):
        parser.parse_settings([word for word in arguments if word != "--print_config"])
    elif arguments:  # an array of Slurm has its shards in variables
        parser.parse_args([re.sub(r"\$\w+/\$\w+", "0/1", word) for word in arguments])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_commands_of_documents_exist(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands(name):
        try:
            check(words, (ROOT / name).parent)
        except (SystemExit, ValueError, AssertionError, OSError) as error:
            pytest.fail(f"{name}: {shlex.join(words)}: {error}")


def test_only_commands_after_a_checkout_are_of_an_older_commit():
    older = "    git checkout 75a6a82\n    speechvq-train --gone 1\n"
    assert of_today(f"    speechvq-encode\n{older}") == "    speechvq-encode\n"
    for block in ("    speechvq-train --gone 1\n", "    git checkout main\n    speechvq-train\n"):
        assert of_today(block) == block


def test_commands_are_found_and_checked():
    found = list(commands("docs/training.md"))
    assert ["speechvq-prepare", "recordings", "--trim", "--out", "exp/mine/data"] in found
    for words in (
        ["speechvq-convert", "--src", "a.wav", "--speakers-of", "p226"],
        ["speechvq-train", "--training.spectral.steps", "3"],
        ["speechvq-analyze", "colours"],
    ):
        with pytest.raises(SystemExit):
            check(words)


def test_python_in_documents_names_what_there_is():
    speechvq = pytest.importorskip("speechvq")
    for language, block in blocks(read("docs/python.md")):
        if language == "python":
            compile(block, "docs/python.md", "exec")
            for name in re.findall(r"speechvq\.(\w+)\(", block):
                assert hasattr(speechvq, name)


def test_the_map_of_equations_names_what_there_is():
    rows = re.findall(r"`([\w.]+)`[^|;`]* in \[[\w/.]+\]\(([\w/.]+)\)", read("README.md"))
    assert len(rows) > 12
    for name, path in rows:
        text = (ROOT / path).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^\s*(?:class|def) {part}\b", text, re.MULTILINE), f"{path}: {name}"


def test_confs_are_described():
    for recipe in ("vctk", "librispeech"):
        described = read(f"recipes/{recipe}/README.md")
        for path in (ROOT / "recipes" / recipe / "conf").glob("*.yaml"):
            assert path.name in described
