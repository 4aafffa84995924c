"""The shape of the package, checked by syntax: rooms, circles, sizes, and who prints."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "speechvq"
FILES = sorted(PACKAGE.rglob("*.py"))

# Rooms from the top down: a room imports only from rooms below its own floor.
FLOORS = [
    {"cli"},
    {"demo"},
    {"evaluation", "report", "publishing"},
    {"training"},
    {"sampling", "analysis", "prior_folder"},
    {"model_folder"},
    {"model"},
    {"postfilter"},
    {"features"},
    {"models", "data", "speaker_weights", "weights"},
    {"codes"},
    {"audio"},
    {"config", "distributed", "hub", "numba_cache", "progress", "settings", "shards", "signals"},
    {"json_reader", "yaml_reader"},
    {"text"},
]
# Of rooms that know little: all that they may import, beside their own files.
ONLY = {
    "models": {"config", "distributed"},  # the paper
    "analysis": {"audio", "data.manifest", "data.labels", "numba_cache"},  # arrays in, numbers out
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 80
UNLIMITED = {"sampling/kernel.py"}  # numba's cache on disk looks at no other file's date


def floor(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def room_of(name: str) -> str:
    """The room of a full module name; "" for the package itself."""
    return name.split(".")[1] if "." in name else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(tree: ast.Module) -> set[str]:
    """Full names of our modules that a file imports anywhere, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: relative import; write the whole name")
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                names.add(name if is_module(name) else node.module)
    return {name for name in names if name.split(".")[0] == "speechvq"}


def wrong_arrows(name: str, imports: set[str]) -> list[str]:
    """Imports of a module that the order of the rooms does not allow."""
    here, found = room_of(name), []
    for other in sorted(imports):
        there = room_of(other)
        if there == here or not here:
            continue
        if not there:  # `import speechvq` itself, which loads lazily: for commands alone
            allowed = here == "cli"
        elif here in ONLY:
            inner = other.removeprefix("speechvq.")
            allowed = any(inner == a or inner.startswith(f"{a}.") for a in ONLY[here])
        else:
            allowed = floor(there) > floor(here)
        if not allowed:
            found.append(other)
    return found


def long_functions(tree: ast.Module) -> list[str]:
    return [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]


def too_long(text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{lines} lines"] if lines > LONGEST_FILE else []


def lines_with(tree: ast.Module, wanted: Callable[[ast.AST], bool]) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if wanted(node)]


def prints(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    )


def parses(node: ast.AST) -> bool:
    """Whether JSON or YAML is parsed, whose readers raise ValueError whatever is wrong."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("json", "yaml")
        and node.attr in ("load", "loads", "safe_load", "JSONDecoder")
    )


def unprovided(tree: ast.AST) -> list[int]:
    """Lines that import librosa where numba's cache has not been provided for just before."""
    found = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for i, line in enumerate(body if isinstance(body, list) else ()):
            names = [alias.name for alias in line.names] if isinstance(line, ast.Import) else []
            names += [line.module] if isinstance(line, ast.ImportFrom) else []
            if any(name.split(".")[0] == "librosa" for name in names):
                before = ast.unparse(body[i - 1]) if i else ""
                found += [] if before == "numba_cache.provide()" else [line.lineno]
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of a circle of imports, if there is one."""
    done, path = set(), []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(arrows.get(name, ())):
            if found := visit(other):
                return found
        path.pop()
        done.add(name)
        return []

    return next(filter(None, map(visit, sorted(arrows))), [])


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """The syntax of every module, by its full name."""
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_a_room_imports_only_rooms_below(trees):
    wrong = {name: wrong_arrows(name, imported(tree)) for name, tree in trees.items()}
    assert {name: arrows for name, arrows in wrong.items() if arrows} == {}


def test_there_is_no_circle_of_imports(trees):
    assert circle({name: imported(tree) - {name} for name, tree in trees.items()}) == []


def test_functions_and_files_are_short(trees):
    long = {
        str(path.relative_to(PACKAGE)): [
            *too_long(path.read_text(encoding="utf-8")),
            *long_functions(trees[name_of(path)]),
        ]
        for path in FILES
    }
    assert {name: what for name, what in long.items() if what and name not in UNLIMITED} == {}


def test_only_commands_print(trees):
    found = {
        name: lines_with(tree, prints) for name, tree in trees.items() if room_of(name) != "cli"
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_one_reader_of_json_and_one_of_yaml(trees):
    assert {name for name, tree in trees.items() if lines_with(tree, parses)} == {
        "speechvq.json_reader",
        "speechvq.yaml_reader",
    }


def test_librosa_finds_a_folder_for_compiled_code(trees):
    found = {name: unprovided(tree) for name, tree in trees.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


class TestTheTestsSee:
    """Each check finds a made-up violation."""

    def test_imports_in_all_forms(self):
        text = (
            "import speechvq.audio\nfrom speechvq import codes\n"
            "def f():\n    from speechvq.models.vqvae import VQVAE\n"
        )
        assert imported(ast.parse(text)) == {
            "speechvq.audio",
            "speechvq.codes",
            "speechvq.models.vqvae",
        }
        with pytest.raises(AssertionError, match="relative import"):
            imported(ast.parse("from . import audio"))

    @pytest.mark.parametrize(
        ("module", "other"),
        [
            ("speechvq.models.encoder", "speechvq.features.filterbank"),
            ("speechvq.models.vqvae", "speechvq.data.segments"),
            ("speechvq.features.mfcc", "speechvq.postfilter.predictor"),
            ("speechvq.sampling.draw", "speechvq.training.train"),
            ("speechvq.sampling.draw", "speechvq.analysis.table"),
            ("speechvq.analysis.phonemes", "speechvq.model"),
            ("speechvq.analysis.phonemes", "speechvq.data.segments"),
            ("speechvq.config.model", "speechvq.settings"),
            ("speechvq.evaluation.prior", "speechvq.report.page"),
            ("speechvq.training.train", "speechvq"),
        ],
    )
    def test_an_arrow_back_up(self, module, other):
        assert wrong_arrows(module, {other}) == [other]

    def test_an_arrow_down(self):
        below = {"speechvq.models.vqvae", "speechvq.config", "speechvq.distributed"}
        assert wrong_arrows("speechvq.training.train", below) == []

    def test_a_circle(self):
        assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
        assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []

    def test_a_long_file(self):
        assert too_long("x\n" * (LONGEST_FILE + 1)) == ["401 lines"]
        assert too_long("x\n" * LONGEST_FILE) == []

    def test_a_long_function_and_a_print(self):
        body = "    x = 1\n" * LONGEST_FUNCTION
        assert long_functions(ast.parse(f"def f():\n{body}")) == ["f: 81 lines"]
        assert long_functions(ast.parse(f"def f():\n{body[:-10]}")) == []
        assert lines_with(ast.parse("x = 1\nprint(x)\n"), prints) == [2]

    def test_a_reader(self):
        text = "import json\njson.dumps(1)\nx = json.loads(y)\n"
        assert lines_with(ast.parse(text), parses) == [3]

    def test_librosa_without_a_folder(self):
        text = "def f():\n    {}\n    {}\n"
        imports = ("import librosa", "from librosa.filters import mel")
        for line in imports:
            assert unprovided(ast.parse(text.format("x = 1", line))) == [3]
            assert unprovided(ast.parse(text.format("numba_cache.provide()", line))) == []
