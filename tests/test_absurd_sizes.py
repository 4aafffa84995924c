"""Sizes that no model has are refused in one line, before memory is taken."""

import json
import re
import struct
from pathlib import Path

import pytest
import torch
import yaml

from speechvq import model_folder, prior_folder
from speechvq.cli import train
from speechvq.codes import Codebook
from speechvq.config import PriorConfig
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.settings import plain
from speechvq.training.checkpoint import read_header as read_checkpoint
from speechvq.weights import read_header, read_weights, write_weights

MOST = 100e6
"""Bytes that a refusal may take."""


@pytest.fixture
def folder(tiny_config, tmp_path):
    torch.manual_seed(0)
    model_folder.save_model(tmp_path / "m", Model(tiny_config, ["p225", "p226"]), {}, "card")
    return tmp_path / "m"


def peak() -> int:
    """Most memory that the process has held since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def refused(load, match):
    """Load what is to be refused in one line; no memory is taken for it."""
    peak()
    before = peak()
    with pytest.raises(ValueError, match=match) as caught:
        load()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert peak() - before < MOST


SIZES = [
    ("quantizer.codebook_size", 2**40),
    ("quantizer.codebook_size", 2**20),
    ("quantizer.codebook_size", 2**18),
    ("quantizer", {"codebook_size": 2**16, "codebook_dim": 2**13}),
    ("quantizer.codebook_dim", 10**6),
    ("quantizer.codebook_dim", 4 * 10**6),
    ("quantizer.codebooks", 10**9),
    ("encoder.channels", 10**6),
    ("encoder.channels", 10**400),
    ("encoder.strides", [2**20] * 60),
    ("encoder.strides", [2] * 10**4),
    ("encoder.residual_layers", 10**9),
    ("decoder.wavenet.layers", 10**9),
    ("decoder.wavenet.dilation_cycle", 10**9),
    ("decoder.wavenet.kernel_size", 10**12),
    ("decoder.wavenet.residual_channels", 10**6),
    ("decoder.wavenet.output_channels", 2**62),
    ("decoder.conditioner.channels", 10**6),
    ("decoder.conditioner.layers", 10**8),
    ("mel_predictor.bands", 10**6),
    ("sample_rate", 10**12),
]


def with_size(values, path, size):
    *keys, last = path.split(".")
    section = values
    for key in keys:
        section = section[key]
    section[last] = size
    return values


@pytest.mark.parametrize(("path", "size"), SIZES)
def test_an_absurd_configuration_of_whole_weights(folder, path, size):
    config = model_folder.read_config(folder)
    with_size(config["model"], path, size)
    weights = folder / "model.safetensors"
    tensors, header = read_weights(weights)
    write_weights(weights, tensors, header | {"config": json.dumps(config)})
    refused(lambda: model_folder.load_model(folder), r"model\.safetensors: ")


def test_a_header_of_tensors_that_agree_with_it(folder):
    """10 TB of them, which the file does not have."""
    config = model_folder.read_config(folder)
    config["model"]["encoder"]["channels"] = 10**6
    path = folder / "model.safetensors"
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    header = json.loads(path.read_bytes()[8 : 8 + length])
    header["__metadata__"]["config"] = json.dumps(config)
    header["vqvae.encoder.big"] = {
        "dtype": "F32", "shape": [1600, 10**6, 1600], "data_offsets": [0, 1024 * 10**10],
    }  # fmt: skip
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(100))
    for read in (model_folder.load_model, lambda f: read_header(f / path.name)):
        with pytest.raises(ValueError, match=r"model\.safetensors: truncated"):
            read(folder)
    with pytest.raises(ValueError, match="a damaged checkpoint"):
        read_checkpoint(path)
    path.write_bytes(struct.pack("<Q", 1 << 62) + content)
    with pytest.raises(ValueError, match="truncated"):
        model_folder.load_model(folder)


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("condition_channels", 10**6),
        ("wavenet.layers", 10**8),
        ("wavenet.residual_channels", 10**6),
    ],
)
def test_an_absurd_prior(tmp_path, path, size):
    codebook = Codebook(8, 16, 8000, "m")
    prior_folder.save_prior(tmp_path, Prior(PriorConfig(), 8, ["a"]), codebook, {}, "card")
    tensors, header = read_weights(tmp_path / "model.safetensors")
    values = with_size(plain(PriorConfig()), path, size)
    header["config"] = json.dumps({"prior": values})
    write_weights(tmp_path / "model.safetensors", tensors, header)
    refused(lambda: prior_folder.load_prior(tmp_path, codebook), r"model\.safetensors: ")


@pytest.mark.parametrize(
    ("path", "size", "reason"),
    [
        (
            "model.encoder.channels",
            10**6,
            r"model: this machine has [\d,]+ GB of memory, and its configuration ",
        ),
        ("model.quantizer.codebook_size", 2**40, "codebook_size: must be at most 1048576, got"),
        ("stages.mel.batch_size", 10**8, "batch_size times segment_length: must be at most"),
        ("training.workers", 10**6, "training.workers: must be at most 1024, got 1000000"),
    ],
)
def test_an_absurd_training(tiny_config, tiny_corpus, tmp_path, capsys, path, size, reason):
    values = {
        "model": plain(tiny_config),
        "data": plain(tiny_corpus),
        "stages": [{"objective": "mel", "steps": 1}],
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    arguments = ["--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out")]
    assert train.main([*arguments, f"--{path}", str(size)]) == 2
    assert len((error := capsys.readouterr().err).splitlines()) == 1
    assert re.search(reason, error), error


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    """Whoever runs out of it: Python, NumPy or PyTorch."""
    from speechvq.cli import report

    for error in (MemoryError(), RuntimeError("x\nDefaultCPUAllocator: can't allocate memory: 9")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(report, "parser", fail)
        assert report.main([]) == 2
        assert capsys.readouterr().err.startswith("speechvq-report: error: not enough memory (")
    monkeypatch.setattr(report, "parser", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.main([])
