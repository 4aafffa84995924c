"""What is fuzzed: a small function for each parser, and inputs to begin with.

The promise of all: a parser returns, or raises ValueError or OSError with a message of one line of
bounded length; nothing else, whatever it is given.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

from speechvq.cli.errors import one_line

Target = Callable[[bytes, Path], object]
"""Parses bytes; a folder is there for files."""

TARGETS: dict[str, Target] = {}
SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {}
FOUND = Path(__file__).parent / "found"
LONGEST_MESSAGE = 2000
_numbers = itertools.count()


def target(seeds: Callable[[], Iterable[bytes]]) -> Callable[[Target], Target]:
    """Add a function to the targets, with inputs to begin with."""

    def add(function: Target) -> Target:
        name = function.__name__.strip("_")
        TARGETS[name], SEEDS[name] = function, seeds
        return function

    return add


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with: those that once broke a promise among them."""
    found = sorted((FOUND / name).glob("*")) if (FOUND / name).is_dir() else []
    return [*SEEDS[name](), *(path.read_bytes() for path in found)]


def kept(parse: Target, content: bytes, folder: Path) -> None:
    """Parse an input; AssertionError, or what was raised, if the promise is broken."""
    logging.disable(logging.CRITICAL)
    try:
        parse(content, folder)
    except (ValueError, OSError) as error:
        message = str(error)
        assert message.strip() and "\n" not in one_line(error), repr(message[:200])
        assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:200]!r}"
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def file(folder: Path, content: bytes, suffix: str):
    """A file with the content, under a name that was not there before; errors must name it."""
    path = folder / f"{next(_numbers)}{suffix}"
    path.write_bytes(content)
    try:
        yield path
    except (ValueError, OSError) as error:
        assert str(path) in str(error), f"does not name the file: {error}"
        raise
    finally:
        path.unlink()


def lines(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


# Text, codes, YAML, settings


@target(lambda: [b"a\r\nb", b"\xff\xfea\0b\0", b"\xfe\xff\0a", "\ufeffä".encode(), b"caf\xe9"])
def _text(content: bytes, folder: Path) -> None:
    from speechvq import text

    assert "\r" not in text.decode(content).content


@target(
    lines(
        "# speechvq codes 1\n# codebook_size 128\n# hop_length 640\n# sample_rate 16000\n"
        "# model 595857f535cf\np225_001\t17 17 93 0\nüber\t127\n",
        "# speechvq codes 1\n# codebook_size 9\n# hop_length 1\n# sample_rate 1\n# model m\n"
        "# codebooks 2\na\t1:2 3:4\n",
    )
)
def _codes(content: bytes, folder: Path) -> None:
    from speechvq.codes import lines, read_codes

    with file(folder, content, ".txt") as path:
        codebook, utterances = read_codes(path)
        path.write_text("".join(lines(codebook, utterances.items())), encoding="utf-8")
        assert read_codes(path)[0] == codebook and codebook.frame_rate > 0


YAML = lines(
    "model:\n  sample_rate: 16000\n  encoder: {kind: strided, strides: [4, 4], channels: [8, 9]}\n"
    "  quantizer: &q {codebook_size: 8, update: ema}\n  decoder: {wavenet: {layers: 2}}\n"
    "  mel_predictor: {kind: streaming, bands: 8, stack: {dilations: [1, 2], lookahead: [1, 1]}}\n",
    "stages:\n- {objective: cepstra, steps: 9, batch_size: 2, normalisation: {warps: 3}}\n"
    "- {objective: decoder, name: second, steps: 1000, learning_rate: 2e-4}\n"
    "- {objective: mel, steps: 2, perturbation: {}}\ndata: {train: a.jsonl, level: -26}\n"
    "training: {seed: 3, precision: float32, init_from: null}\n",
    "a: 0x1f\nb: [1:30, 010, .inf, ~, 2001-01-01]\nc: *x\nd: |\n  text\n? [k]\n: v\n",
    "&a [*a]",
    "model: {strides: 3}\ntraining: {spectral: {steps: 1}}\nseed: 1\n",
    "stages:\n- {objective: likelihood, steps: 3}\n- {objective: labels, labels: x}\n"
    "- {steps: 1}\n",
)


@target(YAML)
def _yaml(content: bytes, folder: Path) -> None:
    from speechvq.yaml_reader import line_of, read_yaml

    with file(folder, content, ".yaml") as path:
        for key in read_yaml(path):
            line_of(path, f"{key}.name[0]", "kind")


@target(YAML)
def _settings(content: bytes, folder: Path) -> None:
    """A configuration of a training, as the command reads it; and what it says, read again."""
    from speechvq.cli.train import parser
    from speechvq.config import check_stages
    from speechvq.settings import build, plain

    path = folder / "settings.yaml"
    path.write_bytes(content)
    if "train" not in _PARSERS:
        _PARSERS["train"] = parser()
    reader = _PARSERS["train"]
    _, sections = reader.parse_settings(["--config", str(path), "--out", "out"])
    for name, section in sections.items():
        assert build(reader._sections[name], plain(section), name) == section
    with reader.located():
        check_stages(sections["model"], sections["stages"], False)


_PARSERS: dict[str, object] = {}


@target(
    lines(
        "0\n--src\na.wav\n--speaker\np1\n--seed\n3\n--top-p\n0.5\n--temperature\n1e-3\n--top-k\n2",
        "1\n--manifest\nx.jsonl\n--format\nunits\n--merge-runs",
        "2\ncorpus\n--out\nx\n--valid\n0.1\n--speakers\na,b",
        "3\n--data.train=x\n--model.encoder.strides\n[4, 4]\n--stages.decoder.steps\n1e3\n--out\nx",
        "4\n--speaker\np1\n--seconds\n3\n--count\n2",
        "5\n--host\n::1\n--port\n1\n--most-minutes\n2",
        "6\n--name\nme\n--src\na",
        "7\n--codes\nx",
    )
)
def _options(content: bytes, folder: Path) -> None:
    """Words of a command line: they are parsed, or refused in one line on stderr."""
    import importlib

    text = content.decode(errors="surrogateescape")
    number, *words = text.split("\n")
    names = ("convert", "encode", "prepare", "train", "sample", "demo", "enroll", "decode")
    names += ("align", "publish", "report", "train_prior")
    name = names[ord(number[0]) % len(names)] if number else names[0]
    if name not in _PARSERS:
        _PARSERS[name] = importlib.import_module(f"speechvq.cli.{name}").parser()
    parser = _PARSERS[name]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            getattr(parser, "parse_settings", parser.parse_args)(words)
    except SystemExit as end:
        assert end.code in (0, 2)
        assert end.code == 0 or "error: " in said.getvalue()


@target(lines("hf://a/b", "hf://a/b@main", "hf://../..", "hf:///", "hf://a/b@x/../y", "exp/a"))
def _hub(content: bytes, folder: Path) -> None:
    from speechvq.hub import PREFIX, parsed_address

    repository, revision = parsed_address(content.decode(errors="surrogateescape"))
    owner, name = repository.split("/")
    assert {owner, name}.isdisjoint({"", ".", ".."}), repository
    assert revision is None or ".." not in revision.split("/"), revision
    assert not repository.startswith(PREFIX)


# Corpora


@target(
    lines(
        '{"id": "a", "speaker": "s", "path": "a.wav", "duration": 1.5}\n',
        '{"id": "b", "speaker": "s", "path": "x/../b.wav", "duration": 1, "start": 0.5, '
        '"text": "hi", "phones": [[0, 0.5, "AH_B"], [0.5, 1, "sil"]]}\n',
        '{"id": "c", "speaker": "s", "path": "../c.wav", "duration": 1e3}\n',
        '{"id": "d", "speaker": "../s", "path": "/etc/passwd", "duration": -1}\n',
    )
)
def _manifest(content: bytes, folder: Path) -> None:
    from speechvq.data.manifest import read_manifest, write_manifest

    with file(folder, content, ".jsonl") as path:
        found = read_manifest(path)
        for utterance in found:
            assert os.path.abspath(utterance.path).startswith(f"{folder}/"), utterance.path
            assert "/" not in utterance.speaker
        write_manifest(path, found)
        assert [u.id for u in read_manifest(path)] == [u.id for u in found]


@target(lines("..\n", "/\n\n/data/vctk\n", "a b\r\n", "\ufeffx\n"))
def _roots(content: bytes, folder: Path) -> None:
    from speechvq.data.roots import Roots

    path = folder / "roots.txt"
    path.write_bytes(content)
    try:
        roots = Roots(folder)
        for root in roots.folders:
            assert os.path.isabs(root) and os.path.normpath(root) == root
        roots.path("a/../b.wav")
        roots.path("../c.wav")
    finally:
        path.unlink()


def _label_file(suffix: str) -> Target:
    def read(content: bytes, folder: Path) -> None:
        from speechvq.data.label_names import doubt_classes
        from speechvq.data.labels import read_labels, units_that_fit

        with file(folder, content, suffix) as path:
            labels = read_labels(path)
        ends = 0.0
        for phone in labels.phones:
            assert ends <= phone.start < phone.end
            ends = phone.end
        if labels.phones:
            units_that_fit(labels, 1.0)
            doubt_classes(phone.label for phone in labels.phones)

    read.__name__ = suffix[1:]
    return read


def _binary_textgrid() -> bytes:
    short = struct.pack("B", 8) + b"TextGrid"
    tier = b"\x0cIntervalTier" + struct.pack(">H", 6) + b"phones" + struct.pack(">ddi", 0, 1, 1)
    label = struct.pack(">dd", 0, 1) + struct.pack(">HH", 0xFFFF, 1) + "a".encode("utf-16-be")
    return b"ooBinaryFile" + short + struct.pack(">ddBi", 0, 1, 1, 1) + tier + label


def _textgrids() -> list[bytes]:
    from speechvq.data.textgrid import Tier, textgrid

    long = textgrid([Tier("phones", True, [(0.0, 0.5, "a"), (0.5, 0.8, 'b "c"')])], 1.0)
    short = 'File type = "ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"phones"\n'
    by_time = '"Praat chronological TextGrid text file"\n0 1\n1\n"IntervalTier" "phones" 0 1\n'
    return [
        long.encode(),
        (short + '0\n1\n1\n0\n1\n"a"\n').encode(),
        (by_time + '1 0 0.5\n"a"\n1 0.5 1\n"b"\n').encode(),
        long.encode("utf-16"),
        _binary_textgrid(),
    ]


target(_textgrids)(_label_file(".textgrid"))
target(lines("0 100 h#\n100 2000 ah\n", "0 16000\n"))(_label_file(".phn"))
target(
    lines(
        "0 100000 sil\n100000 900000 a-b+c word\n",
        "0.0 0.5 x^a-b+c=d\n0.5 1 pau\n",
        "head\n#\n0.1 125 pau\n0.5 125 ah[2]\n",
    )
)(_label_file(".lab"))
target(lines(";; c\nu 1 0.0 0.5 AH_B 1.0\nu 1 0.5 0.25 B_E\n", "a A 1 2 x\n"))(_label_file(".ctm"))
target(lines('#!MLF!#\n"*/u.lab"\n0 100000 a\n100000 200000 b\n.\n'))(_label_file(".mlf"))


@target(
    lines("a-b+c\nx^a-b+c=d@1_2/A:\nAH_B\nah[2]\nsil", "<noise> [laughter-don't] (he) {breath}")
)
def _names(content: bytes, folder: Path) -> None:
    """Labels, transcripts and texts, whose patterns must not take for ever."""
    from speechvq.analysis.transcripts import spoken
    from speechvq.data.label_names import without_context
    from speechvq.data.labels import has_times
    from speechvq.data.split import normalize

    text = content.decode(errors="replace")
    without_context(text.split("\n"))
    spoken(text)
    normalize(text)
    has_times(text)


@target(
    lines(
        '( arctic_a0001 "Author of the danger trail." )\n',
        "0011_000001\tHello there.\tAngry\n",
        "84-121123-0000 GO DO YOU HEAR\n",
        ";ID |SEX| SUBSET |MINUTES| NAME\n84 | F | dev-clean | 8.02 | Christie Nowak\n",
        "READER\tGENDER\tSUBSET\tNAME\n84\tF\tdev\tC N\n",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\np225  23  F    English    Southern  England\n"
        "p315  18 M American  New England (mic2 files unavailable)\n",
        "000010011\tWE CALL IT BEAR\n",
    )
)
def _corpus_texts(content: bytes, folder: Path) -> None:
    """Lists of texts and speakers, each read by the reader of every corpus."""
    from speechvq.cli import prepare
    from speechvq.data.corpora import READERS, Faults, arctic, esd, librispeech, speechocean762

    for name in ("SPEAKERS.TXT", "speakers.tsv", "speaker-info.txt", "test/text", "x.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    faults = Faults()
    for read in (arctic._prompts, esd._texts, librispeech._texts):
        read(folder / "x.txt", faults)
    speechocean762._texts(folder, faults)
    for reader in READERS.values():
        reader().speakers(folder)
    assert all("\n" not in line for line in faults.lines())
    prepare._listed(str(folder / "x.txt"))


NAMES = lines(
    "vctk\nwav48_silence_trimmed/p225/p225_001_mic1.flac\ntxt/p225/p225_001.txt",
    "84/121123/84-121123-0000.flac\n84/121123/84-121123.trans.txt",
    "dev-clean/84/121123/84_121123_000007_000001.wav\nx/84_121123_000007_000001.normalized.txt",
    "TRAIN/DR1/FCJF0/SA1.WAV\nTRAIN/DR1/FCJF0/SA1.PHN\nTRAIN/DR1/FCJF0/SA1.TXT",
    "cmu_us_slt_arctic/wav/arctic_a0001.wav\ncmu_us_slt_arctic/lab/arctic_a0001.lab",
    "0011/Angry/0011_000351.wav\n0011/0011.txt",
    "WAVE/SPEAKER0001/000010011.WAV\ntrain/text",
    "a/b.wav\na/b.lab\na/b.TextGrid\nc/d e/f.mp3",
)


@target(NAMES)
def _corpus_names(content: bytes, folder: Path) -> None:
    """Names of files and folders, up to six, in which every reader looks for its corpus."""
    import shutil

    from speechvq.data.corpora import READERS, Faults

    root = folder / f"{next(_numbers)}"
    root.mkdir()
    try:
        for name in content.decode(errors="surrogateescape").split("\n")[:6]:
            path = Path(os.path.normpath(root / name.lstrip("/")))
            if root in path.parents and "\0" not in name:
                with contextlib.suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
        for reader in READERS.values():
            with contextlib.suppress(ValueError, OSError):
                if (found := reader().find_root(root)) is not None:
                    for recording in reader().recordings(found, Faults()):
                        assert recording.id and recording.speaker
                        assert root in recording.path.parents
    finally:
        shutil.rmtree(root)


# Audio


def _sounds(form: str, *subtypes: str, suffix: bytes = b"", **options) -> Callable[[], list[bytes]]:
    def write() -> list[bytes]:
        made = []
        for subtype in subtypes:
            content = io.BytesIO()
            wave = np.sin(np.arange(400) / 5)[:, None].repeat(1 + len(made) % 2, 1)
            soundfile.write(content, 0.5 * wave, 8000, subtype, format=form, **options)
            made += [content.getvalue(), content.getvalue() + suffix]
        return made

    return write


def _sound_file(suffix: str) -> Target:
    def read(content: bytes, folder: Path) -> None:
        from speechvq import audio

        with file(folder, content, suffix) as path:
            audio.info(path)
            audio.is_drawn(path)
            for block in itertools.islice(audio.blocks(path, 16000), 20):
                assert np.isfinite(block).all() and np.abs(block).max() <= 1

    return read


def _sound(name: str, suffix: str, seeds: Callable[[], Iterable[bytes]]) -> None:
    TARGETS[name], SEEDS[name] = _sound_file(suffix), seeds


def _all(*makers: Callable[[], Iterable[bytes]]) -> Callable[[], list[bytes]]:
    return lambda: [content for make in makers for content in make()]


LIST = b"LIST\x0a\0\0\0INFOICMT\0\0"
_sound("wav", ".wav", _all(
    _sounds("WAV", "PCM_16", "PCM_U8", "FLOAT", "ULAW", "IMA_ADPCM", suffix=LIST),
    _sounds("RF64", "PCM_16"), _sounds("WAVEX", "PCM_24"),
))  # fmt: skip
_sound("containers", ".caf", _all(
    _sounds("W64", "PCM_16"), _sounds("AIFF", "PCM_16", "FLOAT"), _sounds("AU", "PCM_16", "ULAW"),
    _sounds("CAF", "PCM_16"), _sounds("NIST", "PCM_16"),
))  # fmt: skip
_sound("flac", ".flac", _sounds("FLAC", "PCM_16", "PCM_24", suffix=b"TAG" + bytes(125)))
_sound("mp3", ".mp3", _sounds("MP3", "MPEG_LAYER_III", "MPEG_LAYER_III", suffix=b"TAG" + bytes(9)))
_sound("ogg", ".ogg", lambda: [*_sounds("OGG", "VORBIS")(), _opus()])


def _opus() -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.sin(np.arange(480) / 5), 48000, "OPUS", format="OGG")
    return content.getvalue()


def _by_av() -> list[bytes]:
    import av

    made = []
    for form, codec in (("mp4", "aac"), ("adts", "aac"), ("ipod", "alac")):
        content = io.BytesIO()
        with av.open(content, "w", format=form) as container:
            stream = container.add_stream(codec, rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        made.append(content.getvalue())
    return made


_sound("ffmpeg", ".m4a", _by_av)


@target(_all(_sounds("WAV", "PCM_16", "FLOAT", "PCM_U8"), lambda: [bytes(50), b"\1\2\3"]))
def _live(content: bytes, folder: Path) -> None:
    """A pipe of WAV or raw samples, read while it comes."""
    from speechvq.audio import live_blocks

    for rate in (None, 8000):
        reading, writing = os.pipe()
        try:
            os.write(writing, content[:60000])
            os.close(writing)
            for block in itertools.islice(live_blocks(reading, 16000, rate), 200):
                assert np.isfinite(block).all() and np.abs(block).max(initial=0) <= 1
        except ValueError as error:
            assert str(error) and "\n" not in str(error)
        finally:
            os.close(reading)


# Models


def _model() -> tuple[dict, dict, list[str]]:
    """A tiny model's tensors, configuration and speakers."""
    if not _MADE:
        import torch

        from speechvq.config import ModelConfig
        from speechvq.model import Model
        from speechvq.settings import build, plain

        torch.manual_seed(0)
        values = {
            "sample_rate": 8000,
            "encoder": {"kind": "strided", "strides": [4, 4], "channels": 4},
            "quantizer": {"codebook_size": 4, "codebook_dim": 2},
            "decoder": {
                "conditioner": {"channels": 2},
                "wavenet": {"layers": 2, "dilation_cycle": 2, "residual_channels": 2,
                            "skip_channels": 2, "output_channels": 4},
            },
            "mel_predictor": {"kind": "conditioner", "bands": 2},
        }  # fmt: skip
        config = build(ModelConfig, values, "model")
        _MADE.append((Model(config, ["a", "b"]).state_dict(), plain(config), ["a", "b"]))
    return _MADE[0]


_MADE: list[tuple[dict, dict, list[str]]] = []


def _weights() -> list[bytes]:
    from safetensors.torch import save

    from speechvq.model_folder import FORMAT
    from speechvq.weights import make_header

    tensors, config, speakers = _model()
    header = make_header(FORMAT, {"model": config}, speakers)
    checkpoint = {"state": '{"stage": "mel", "step": 3}', "settings": "{}"}
    one = {"weights.a": next(iter(tensors.values()))}
    return [
        save(tensors, header),
        save(one, header),
        save(one, checkpoint),
        b"\2" + bytes(7) + b"{}",
    ]


@target(_weights)
def _header(content: bytes, folder: Path) -> None:
    """The bytes of a file of weights: as a model, a prior and a checkpoint."""
    from speechvq import model_folder, prior_folder
    from speechvq.codes import Codebook
    from speechvq.training.checkpoint import load_weights, read_header

    path = folder / "model.safetensors"
    path.write_bytes(content)
    for read in (
        model_folder.load_model,
        lambda f: prior_folder.load_prior(f, Codebook(4, 16, 8000, "m")),
        lambda f: read_header(f / path.name),
        lambda f: load_weights(f / path.name, {}),
    ):
        with contextlib.suppress(FileNotFoundError):
            kept(lambda _, folder, read=read: read(folder), b"", folder)


def _configurations() -> list[bytes]:
    _, config, _ = _model()
    changed = [config, config | {"encoder": config["encoder"] | {"channels": 10**6}}]
    changed += [config | {"quantizer": config["quantizer"] | {"codebook_size": 2**40}}]
    return [json.dumps(one).encode() for one in [*changed, {"kind": "streaming"}]]


@target(_configurations)
def _configuration(content: bytes, folder: Path) -> None:
    """The configuration in the header of whole weights."""
    from safetensors.torch import save

    from speechvq.model_folder import FORMAT, load_model, read_config

    tensors, _, speakers = _model()
    text = content.decode(errors="replace")
    header = {"format": FORMAT, "config": f'{{"model": {text}}}', "speakers": json.dumps(speakers)}
    (folder / "model.safetensors").write_bytes(save(tensors, header))
    read_config(folder)
    load_model(folder)


# What the report and the comparison read


@target(
    lines(
        '{"model": "m", "codebooks": 2, "scores": {"codes": {"accuracy": 0.5, "low": 0.4, '
        '"high": 0.6, "pnmi": {"value": 1, "low": null, "high": 2}}}, '
        '"WER": {"a": {"WER": 1e999}}}',
        '{"kind": "valid", "stage": "mel", "loss": 0.5, "perplexity": 3, "step": 10}\n'
        '{"kind": "train", "stage": "mel", "loss": NaN}\n{"kind": "valid"',
        "code,count,phone,phones\n0,5,AH,AH 0.5\n1,0,,\n",
    )
)
def _results(content: bytes, folder: Path) -> None:
    """Scores, metrics and the map of codes, as the page and the table of models read them."""
    from speechvq.analysis.stored import stored
    from speechvq.evaluation import compare
    from speechvq.report import code_map, scores
    from speechvq.training.metrics import read_records

    (folder / "phonemes").mkdir(exist_ok=True)
    for name in ("phonemes/scores.json", "metrics.jsonl", "codes.csv"):
        (folder / name).write_bytes(content)
    for read in (
        lambda f: scores.find_analyses(f),
        lambda f: read_records(f / "metrics.jsonl"),
        lambda f: code_map.by_phone(code_map.read_code_map(f / "codes.csv")),
        lambda f: compare._metrics(f / "metrics.jsonl"),
        lambda f: [
            stored(found, *path)
            for found in compare._sources(f / "m").values()
            for _, *path in compare.SCORES.values()
        ],
    ):
        kept(lambda _, folder, read=read: read(folder), b"", folder)


@target(lines("# Card\n## Data\nx\n## Limits\ny\n## Licence\nMIT\n2 speakers: a, b\n", "a: 1\n"))
def _card(content: bytes, folder: Path) -> None:
    """A model card, and the page's HTML of it, in which nothing of the card is HTML."""
    from speechvq.publishing import card_faults
    from speechvq.report.page import _rendered

    with file(folder, content, ".md") as path:
        list(card_faults(path, ["a", "b"]))
    html = str(_rendered(content.decode(errors="replace")))
    assert not any(bad in html.lower() for bad in ("<script", "<img", 'href="javascript:'))
