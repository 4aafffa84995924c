"""Settings: what is accepted, what is refused and in which words, and files of them."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechvq import settings
from speechvq.cli.options import attributes, options
from speechvq.settings import SettingsError, build, override, plain
from speechvq.yaml_reader import line_of, read_yaml


@dataclass(frozen=True)
class Stage:
    """A toy stage.

    Attributes
    ----------
    steps, batch_size : int
        Of training. Not shown.
    """

    TAG: ClassVar[str] = "objective"
    steps: int = 5
    batch_size: int = 8

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps: must be at least 1, got {self.steps}")


@dataclass(frozen=True)
class MelStage(Stage):
    """Attributes come from the base, too."""

    objective: str = "mel"
    rate: float = 0.1


@dataclass(frozen=True)
class DecoderStage(Stage):
    """A stage with a setting of its own.

    Attributes
    ----------
    noise : float
        In levels.

    Notes
    -----
    This is no setting.
    """

    objective: str = "decoder"
    noise: float = 0.0


@dataclass(frozen=True)
class Inner:
    layers: int = 3
    widths: int | tuple[int, ...] = 4


@dataclass(frozen=True)
class Whole:
    name: str = "x"
    kind: Literal["ema", "loss"] = "ema"
    flag: bool = False
    rate: float = 1.0
    path: str | None = None
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    inner: Inner = field(default_factory=lambda: Inner(layers=7))
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Required:
    size: int


numbers = st.floats(allow_nan=False, allow_infinity=False)
whole_numbers = st.integers(-1000, 1000)
wholes = st.builds(
    Whole,
    name=st.text(),
    kind=st.sampled_from(["ema", "loss"]),
    flag=st.booleans(),
    rate=numbers,
    path=st.none() | st.text(),
    sizes=st.lists(whole_numbers).map(tuple),
    pair=st.tuples(whole_numbers, numbers),
    inner=st.builds(
        Inner, whole_numbers, whole_numbers | st.lists(whole_numbers, max_size=3).map(tuple)
    ),
    stages=st.lists(
        st.builds(MelStage, steps=st.integers(1, 9), rate=numbers)
        | st.builds(DecoderStage, steps=st.integers(1, 9), noise=numbers),
        unique_by=type,
    ).map(tuple),
)


@given(wholes)
def test_plain_values_build_the_same_again(whole):
    assert build(Whole, plain(whole), "w") == whole


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"knd": "ema"}, "w.knd: no such setting; did you mean w.kind?"),
        ({"inner": {"layer": 1}}, "w.inner.layer: no such setting; did you mean w.inner.layers?"),
        ({"name": 3}, "w.name: expected text, got 3"),
        ({"name": None}, "w.name: expected text, got nothing (blank)"),
        ({"kind": "sgd"}, "w.kind: expected one of ema, loss, got 'sgd'"),
        ({"flag": 1}, "w.flag: expected true or false, got 1"),
        ({"rate": True}, "w.rate: expected a number, got True"),
        ({"rate": "fast"}, "w.rate: expected a number, got 'fast'"),
        ({"rate": math.nan}, "w.rate: expected a finite number, got nan"),
        ({"rate": "-inf"}, "w.rate: expected a finite number, got -inf"),
        ({"rate": None}, "w.rate: expected a number, got nothing (blank)"),
        ({"rate": 10**400}, "w.rate: expected a finite number"),
        ({"path": 3}, "w.path: expected text or null, got 3"),
        ({"sizes": 3}, "w.sizes: expected a list such as [4, 4], got 3"),
        ({"sizes": [1, "2"]}, "w.sizes[1]: expected a whole number, got '2'"),
        ({"sizes": [1, True]}, "w.sizes[1]: expected a whole number, got True"),
        ({"pair": [1]}, "w.pair: expected 2 entries, got 1"),
        ({"inner": 3}, "w.inner: expected keys and values, got 3"),
        ({"inner": None}, "w.inner: expected keys and values, got nothing (blank)"),
        ({"inner": {"layers": 2.0}}, "w.inner.layers: expected a whole number, got 2.0"),
        ({"inner": {"widths": "a"}}, "w.inner.widths: expected a whole number or a list such as"),
        ({"inner": {"widths": [1, "a"]}}, "w.inner.widths[1]: expected a whole number, got 'a'"),
        ({"inner": {"widths": {}}}, "w.inner.widths: expected a whole number or a list such as"),
        ({"stages": [{"steps": 3}]}, "w.stages[0]: no key 'objective'; expected one of mel, deco"),
        (
            {"stages": [{"objective": "decodr"}]},
            "w.stages[0].objective: no such objective: 'decodr'; did you mean decoder? known are",
        ),
        ({"stages": [{"objective": None}]}, "w.stages[0].objective: no such objective: nothing"),
        ({"stages": [3]}, "w.stages[0]: expected keys and values, got 3"),
        (
            {"stages": [{"objective": "mel"}, {"objective": "decoder", "steps": 0}]},
            "w.stages.decoder.steps: must be at least 1, got 0",
        ),
        (
            {"stages": [{"objective": "mel", "noise": 1.0}]},
            "w.stages.mel.noise: no such setting; ",
        ),
        ({"stages": [{"objective": "mel"}] * 2}, "w.stages.mel: two entries of this name; "),
    ],
)
def test_what_is_refused(values, message):
    with pytest.raises(SettingsError) as error:
        build(Whole, values, "w")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_setting_that_must_be_given():
    with pytest.raises(SettingsError, match=r"^r\.size: missing; expected a whole number$"):
        build(Required, {}, "r")


def test_numbers_as_people_write_them():
    assert build(Whole, {"rate": "2e-4"}, "w").rate == 2e-4
    rate = build(Whole, {"rate": 3}, "w").rate
    assert rate == 3.0 and isinstance(rate, float)


def test_keys_left_out_take_the_values_of_the_fields_default():
    assert build(Whole, {"inner": {"widths": [1, 2]}}, "w").inner == Inner(7, (1, 2))
    assert build(Whole, {}, "w") == Whole()


def test_a_tagged_union_is_open():
    @dataclass(frozen=True)
    class LateStage(DecoderStage):
        objective: str = "late"

    stages = build(tuple[Stage, ...], [{"objective": "late", "noise": 1}], "stages")
    assert stages == (LateStage(noise=1.0),)


class TestOverride:
    HINT = tuple[Stage, ...]
    VALUES = [{"objective": "mel"}, {"objective": "decoder", "steps": 3}]

    def test_an_entry_of_a_list_by_its_tag(self):
        changed = override(self.HINT, self.VALUES, ["decoder", "steps"], 9, "stages")
        assert changed == [{"objective": "mel"}, {"objective": "decoder", "steps": 9}]
        assert self.VALUES[1]["steps"] == 3

    @pytest.mark.parametrize(
        ("values", "there"), [(VALUES, "there are mel, decoder"), ([], "the list is empty")]
    )
    def test_an_entry_that_is_not_there(self, values, there):
        with pytest.raises(SettingsError) as error:
            override(self.HINT, values, ["labels", "steps"], 9, "stages")
        assert str(error.value).endswith(there)
        assert str(error.value).startswith("stages.labels: ")

    def test_a_nested_key(self):
        assert override(Whole, None, ["inner", "layers"], 2, "w") == {"inner": {"layers": 2}}
        with pytest.raises(SettingsError, match=r"^w\.inner: expected keys and values, got 3$"):
            override(Whole, {"inner": 3}, ["inner", "layers"], 2, "w")


class TestFiles:
    def read(self, tmp_path, content):
        path = tmp_path / "a.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("m:\n  k: 1\n  k: 2\n", ", line 3: key 'k' is there twice, first in line 2; keep one"),
            ("m: {}\nd: {}\nm: {}\n", ", line 3: key 'm' is there twice, first in line 1"),
            ("m: [{k: 1, k: 2}]", ", line 1: key 'k' is there twice"),
            ("m: 1\nd: {", ", line 2: not YAML: "),
            ("{? [1]: 2}", ", line 1: not YAML: "),
            (
                "a: 1\nb: 010",
                ", line 2: 010: a number that begins with 0, which YAML takes as octal",
            ),
            ("a: 1\nb: &x {c: [*x]}", ", line 2: *x stands inside of what it stands for"),
            (
                "a:\n\tb: 1",
                ", line 2: not YAML: found character '\\t' that cannot start any token; ",
            ),
            ("a: 1\nb: \0", ", line 2: not YAML: "),
            ("[" * 5000, ": not YAML: "),
            (
                "# café\na: 1".encode("latin-1"),
                ": neither UTF-8 nor UTF-16 with a byte-order mark; save the file as UTF-8",
            ),
            ("", ": holds no settings"),
            ("# only a comment", ": holds no settings"),
            ("- 1", ": expected keys and values, got [1]"),
            ("!!python/name:os.system ''", ", line 1: not YAML: "),
        ],
    )
    def test_what_is_refused(self, tmp_path, content, message):
        with pytest.raises(ValueError) as error:
            self.read(tmp_path, content)
        assert str(error.value).startswith(f"{tmp_path / 'a.yaml'}{message}")
        assert "\n" not in str(error.value)

    def test_what_is_read(self, tmp_path):
        assert self.read(tmp_path, "\ufeffa: {b: [1, é]}") == {"a": {"b": [1, "é"]}}
        assert self.read(tmp_path, "a: é".encode("utf-16")) == {"a": "é"}
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            content = "a:\r\n  b: [1, é]\r\n".encode(encoding)
            assert self.read(tmp_path, content) == {"a": {"b": [1, "é"]}}
        with pytest.raises(FileNotFoundError):
            read_yaml(tmp_path / "gone.yaml")

    def test_numbers_are_what_they_look_like(self, tmp_path):
        text = "[1e-3, 1E+5, .5, 1., 1_000, 0, -7, 1.5e3, 0x10, 1:30, 1:30.5, 2026-13-45, 0.10]"
        expected = [0.001, 1e5, 0.5, 1.0, 1000, 0, -7, 1500.0, 16, "1:30", "1:30.5", "2026-13-45"]
        assert self.read(tmp_path, f"a: {text}") == {"a": [*expected, 0.1]}

    def test_the_line_of_a_setting(self, tmp_path):
        path = tmp_path / "a.yaml"
        text = "m:\n  k: [1,\n    2]\ns:\n- {kind: x,\n   n: 1}\n- kind: x\n  name: y\n  n: 2\n"
        path.write_text(text)
        lines = {
            "m.k": 2,
            "m.k[1]": 3,
            "m.gone.j": 1,
            "s.x.n": 6,
            "s.y.n": 9,
            "s[1].n": 9,
            "t": None,
        }
        assert {keys: line_of(path, keys, "kind") for keys in lines} == lines

    def test_a_key_of_a_merged_mapping_may_be_overridden(self, tmp_path):
        """However deep: the merge of a merge is no key that stands twice."""
        text = "x: {a: &a {k: 1}, b: &b {<<: *a, k: 2}}\ny: {<<: *b, k: 3}\n"
        assert self.read(tmp_path, text) == {"x": {"a": {"k": 1}, "b": {"k": 2}}, "y": {"k": 3}}


def test_the_options_of_a_tree():
    found = {option.path: option for option in options(Whole, "w")}
    assert found["w.inner.layers"].default == 7
    assert found["w.kind"].kind == "{ema,loss}"
    assert found["w.inner.widths"].kind == "INT|LIST"
    assert found["w.path"].kind == "TEXT|null"
    stages = {option.path: option for option in options(tuple[Stage, ...], "stages")}
    assert {"stages.mel.rate", "stages.decoder.noise", "stages.decoder.steps"} <= stages.keys()
    assert "stages.decoder.objective" not in stages
    assert stages["stages.decoder.noise"].text == "In levels."
    assert stages["stages.mel.steps"].text == "Of training. Not shown."
    (required,) = options(Required, "r")
    assert required.default is dataclasses.MISSING


def test_attributes_are_read_from_docstrings():
    assert attributes(DecoderStage) == {
        "steps": "Of training. Not shown.",
        "batch_size": "Of training. Not shown.",
        "noise": "In levels.",
    }


def test_settings_import_nothing_heavy():
    import ast
    from pathlib import Path

    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names.discard("speechvq.text")  # which imports the standard library alone
    assert not {name for name in names if name.split(".")[0] in ("speechvq", "torch", "numpy")}
