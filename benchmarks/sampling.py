"""Sampling speed of the WaveNet decoder, compared with other samplers and the machine's limits.

    python benchmarks/sampling.py [--json] [--only PART ...] [--model DIR --manifest FILE]

one     one utterance on one thread: the compiled engine, the plain PyTorch step, and the PyPI
        package wavenet-vocoder if it is installed
many    several utterances in parallel on all cores, by `speechvq.sampling.sample_batch`
shapes  speed by numbers of layers and channels, on one thread, with the arithmetic operations and
        the bytes of weights per sample, and the rates that the core reaches in a large matrix
        product and in reading the same number of bytes
first   seconds until `speechvq.sampling.stream` gives the first chunk
loss    increase in bits per sample by bfloat16 weights, of a trained model on recordings; needs
        --model and --manifest

All parts but the last run networks of random weights, with a condition vector for every 80 samples.
Compared tasks take turns, so that other load on the machine affects all of them; the tables have
medians over the turns. Each task runs once before the measurement, so that compilation is excluded.

The network of wavenet-vocoder differs in details. It projects the condition vectors once a sample
and multiplies a one-hot input by the first layer's weights; speechvq projects them once in 80
samples and looks the input up. The layer before the softmax has 64 channels, as many as the skip
connections; that of speechvq has 256. Residual sums are scaled. The table has the multiplications
of both networks ("MACs"). The sampler of wavenet-vocoder records gradients by default; it is timed
with and without gradients, and without weight normalisation.
"""

import argparse
import importlib.util
import json
import math
import platform
import statistics
import sys
import time
import warnings
from functools import partial

import numba
import numpy as np
import torch
import torch.nn.functional as F
from measure import Task, balanced, rates, repeating, speed, table

import speechvq
from speechvq.config import (
    ConditionerConfig,
    ModelConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.model import Model
from speechvq.models import mu_law
from speechvq.models.wavenet import WaveNet
from speechvq.sampling import SamplingOptions, cores, kernel, sample_batch, stream
from speechvq.sampling.conditions import Conditions
from speechvq.sampling.engine import Engine
from speechvq.sampling.options import PRECISIONS
from speechvq.sampling.reference_step import ReferenceSampler
from speechvq.training.corpus import PIECE_SECONDS

RATE = 16000
PERIOD = 80  # samples per condition vector
HOP_LENGTH = 640
CODE = HOP_LENGTH / RATE  # seconds
CONDITION_CHANNELS = 128
COUNTS = (1, 2, 4, 8, 16, 32)
SHAPES = ((10, 64), (20, 64), (30, 64), (20, 32), (20, 128), (20, 256))  # layers, channels
LOCK_STEP = 8
MEMORY = 1 << 28  # bytes that no cache holds
OTHER = "wavenet-vocoder"
INSTALL = "python -m pip install --no-deps wavenet-vocoder"


def network(layers: int = 20, channels: int = 64) -> WaveNet:
    """Make a decoder with random weights and 256 channels in the output layers."""
    torch.manual_seed(0)
    config = WaveNetConfig(
        layers=layers, residual_channels=channels, skip_channels=channels, output_channels=256
    )
    net = WaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)
    return net.eval().requires_grad_(False)


def vqvae() -> Model:
    """Make a model with random weights and a decoder of 20 layers of 64 channels."""
    torch.manual_seed(0)
    conditioner = ConditionerConfig(CONDITION_CHANNELS, upsample=HOP_LENGTH // PERIOD, layers=2)
    config = ModelConfig(
        encoder=StridedEncoderConfig(strides=(HOP_LENGTH,)),
        decoder=WaveNetDecoderConfig(conditioner=conditioner, wavenet=network().config),
    )
    return Model(config, ["somebody"]).eval().requires_grad_(False)


def drawing(sampler: Engine | ReferenceSampler, count: int) -> Task:
    """Task that draws samples of `count` utterances in lock-step; a unit is a condition vector."""
    streams, rng = sampler.streams(count), np.random.default_rng(0)

    def draw(vectors: int) -> int:
        condition = rng.standard_normal((count, vectors, CONDITION_CHANNELS), np.float32)
        uniforms = rng.random((count, vectors * PERIOD, 1))
        return streams.draw(range(count), condition, PERIOD, uniforms).size

    return draw


def other_network():
    """Make the network of wavenet-vocoder of the same shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated functions of torch
        from wavenet_vocoder import WaveNet as OtherWaveNet

        net = OtherWaveNet(
            layers=20,
            stacks=2,
            residual_channels=64,
            gate_channels=128,
            skip_out_channels=64,
            out_channels=mu_law.LEVELS,
            kernel_size=2,
            cin_channels=CONDITION_CHANNELS,
        )
        net.make_generation_fast_()
    return net.eval()


def other_drawing(net, gradients: bool) -> Task:
    """Task that draws samples with wavenet-vocoder; a unit is a condition vector."""

    @torch.inference_mode(not gradients)
    def draw(vectors: int) -> int:
        condition = torch.randn(1, CONDITION_CHANNELS, vectors)
        condition = condition.repeat_interleave(PERIOD, dim=-1)
        return net.incremental_forward(c=condition, T=vectors * PERIOD).shape[-1]

    return draw


def macs(decoder: WaveNet) -> float:
    """Multiplications per sample: each weight once, those of the condition once in PERIOD."""
    products = [*decoder.layers.modules(), decoder.hidden, decoder.output]
    weights = sum(m.weight.numel() for m in products if isinstance(m, torch.nn.Linear))
    return weights + decoder.condition.weight.numel() / PERIOD


def one(options) -> dict[str, list]:
    """One utterance on one thread."""
    decoder = network()
    tasks = {f"speechvq, {p}": drawing(Engine(decoder, p), 1) for p in PRECISIONS}
    tasks["speechvq, plain PyTorch step"] = drawing(ReferenceSampler(decoder), 1)
    nets = {name: (decoder, macs(decoder)) for name in tasks}
    others = {}
    if importlib.util.find_spec("wavenet_vocoder") is None:
        print(f"{OTHER} is left out; for it: {INSTALL}", file=sys.stderr)
    else:
        others = {OTHER: False, f"{OTHER}, gradients on": True}
    for name, gradients in others.items():
        net = other_network()
        tasks[name] = other_drawing(net, gradients)
        nets[name] = net, sum(p.numel() for p in net.parameters() if p.dim() > 1)
    turns = rates(tasks, options)
    rows = []
    for name, (net, products) in nets.items():
        row = {"sampler": name, **speed(turns[name], RATE), "macs_per_sample": round(products)}
        row["parameters"] = sum(p.numel() for p in net.parameters())
        for other in others:
            ratio = statistics.median(turns[name]) / statistics.median(turns[other])
            row[f"times_{other}"] = ratio
        rows.append(row)
    return {"one": rows}


def many(options) -> dict[str, list]:
    """Several utterances in parallel on all cores."""
    model = vqvae()
    codes = np.random.default_rng(0).integers(model.codebook_size, size=RATE // HOP_LENGTH)

    def batch(count: int, precision: str) -> Task:
        def draw(n: int) -> int:
            waveforms = sample_batch(
                model,
                [codes[:n]] * count,
                model.speakers * count,
                SamplingOptions(precision=precision),
                seeds=list(range(count)),
                threads=options.threads,
            )
            return sum(map(len, waveforms))

        return draw

    counts = COUNTS[:2] if options.quick else COUNTS
    tasks = {(count, p): batch(count, p) for p in PRECISIONS for count in counts}
    turns = rates(tasks, options, units=2 if options.quick else len(codes))
    return {
        "many": [
            {"weights": precision, "utterances": count, **speed(turns[count, precision], RATE)}
            for count, precision in tasks
        ]
    }


def weight_bytes(engine: Engine, count: int) -> tuple[int, float]:
    """Bytes of the weights of all layers, and bytes fetched for a sample of `count` utterances.

    Weights are fetched once for all products that share them: those of all utterances in lock-step;
    or, for the past taps of few utterances, those of successive samples, as many as divide the
    dilation.
    """
    w = engine.weights
    rest = sum(part.nbytes for part in (w.present, w.outputs, w.hidden, w.output))
    shared = [count] * len(w.dilations)
    if count < kernel.MANY:
        shared = [math.gcd(int(dilation), kernel.AHEAD) for dilation in w.dilations]
    past = w.past.nbytes * statistics.mean(1 / rows for rows in shared)
    return rest + w.past.nbytes, rest / count + past


def shapes(options) -> dict[str, list]:
    """Networks of several sizes, and the limits of the core."""
    matrix = torch.ones(1024, 1024)
    tasks = {
        "product": repeating(partial(torch.mm, matrix, matrix), 2 * len(matrix) ** 3),
        MEMORY: repeating(torch.ones(MEMORY // 4).sum, MEMORY),
    }
    needs = {}
    for layers, channels in SHAPES[:2] if options.quick else SHAPES:
        decoder = network(layers, channels)
        for precision in PRECISIONS:
            engine = Engine(decoder, precision)
            for count in (1, LOCK_STEP):
                case = layers, channels, precision, count
                tasks[case] = drawing(engine, count)
                needs[case] = macs(decoder), *weight_bytes(engine, count)
            size = needs[case][1]
            tasks[size] = repeating(torch.ones(size // 4).sum, size)
    turns = rates(tasks, options)
    billions = {name: statistics.median(measured) / 1e9 for name, measured in turns.items()}
    rows = []
    for case, (products, size, fetched) in needs.items():
        row = dict(zip(("layers", "channels", "weights", "streams"), case, strict=True))
        row |= speed(turns[case], RATE)
        row["macs_per_sample"] = round(products)
        row["gflops"] = 2 * products * billions[case]
        row["weights_kb"] = round(size / 1e3)
        row["weights_kb_per_sample"] = round(fetched / 1e3)
        row["gb_per_s"] = fetched * billions[case]
        row["gb_per_s_of_plain_reading"] = billions[size]
        rows.append(row)
    limits = {
        "gflops_of_a_large_float32_product": billions["product"],
        "gb_per_s_of_reading_memory": billions[MEMORY],
    }
    return {"shapes": rows, "limits": [limits]}


def first(options) -> dict[str, list]:
    """Seconds until the first chunk of a stream."""
    model = vqvae()
    lookahead = Conditions(model).lookahead
    until_first(model, 0.0)
    turns = [(until_first(model, 0.0), until_first(model, CODE)) for _ in range(options.repeats)]
    rows = []
    for name, turn in (("all at hand", 0), ("one by one, in real time", 1)):
        of_code, of_call, chunks = zip(*(both[turn] for both in turns), strict=True)
        row = {"codes": name, "lookahead_codes": lookahead, "lookahead_ms": 1000 * lookahead * CODE}
        row["ms_from_first_code"] = 1000 * statistics.median(of_code)
        row["lowest_to_highest"] = [1000 * min(of_code), 1000 * max(of_code)]
        row["ms_from_call"] = 1000 * statistics.median(of_call)
        row["ms_of_audio_in_it"] = 1000 * chunks[0] / RATE
        rows.append(row)
    return {"first": rows}


def until_first(model: Model, pace: float) -> tuple[float, float, int]:
    """Seconds to the first chunk from the first code and from the call, and samples of the chunk.

    Codes arrive one by one, `pace` seconds apart.
    """
    arrivals = []

    def arriving():
        for code in range(25):
            if arrivals:
                time.sleep(max(0.0, arrivals[0] + code * pace - time.perf_counter()))
            arrivals.append(time.perf_counter())
            yield np.array([code])

    called = time.perf_counter()
    chunk = next(stream(model, arriving(), model.speakers[0]))
    arrived = time.perf_counter()
    return arrived - arrivals[0], arrived - called, len(chunk)


def loss(options) -> dict[str, list]:
    """Bits per sample of recordings under float32 and bfloat16 weights."""
    model = speechvq.load(options.model)
    chosen = balanced(read_manifest(options.manifest), options.utterances)
    waveforms = Waveforms(chosen, model.sample_rate)
    engines = [Engine(model.vqvae.decoder.wavenet, precision) for precision in PRECISIONS]
    bits, samples = [], []
    for i, utterance in enumerate(chosen):
        length = min(int(waveforms.lengths[i]), round(PIECE_SECONDS * model.sample_rate))
        waveform = torch.from_numpy(waveforms.crop(i, 0, length)).unsqueeze(0)
        bits.append(bits_of(model, engines, waveform, utterance.speaker))
        samples.append(length)
    bits, samples = np.array(bits), np.array(samples)  # (utterances, forms), (utterances,)
    more = bits - bits[:, :1]
    rows = []
    for i, form in enumerate((*PRECISIONS, "float32, as in training")):
        row = {"weights": form, "utterances": len(chosen)}
        row["speakers"] = len({utterance.speaker for utterance in chosen})
        row["samples"] = int(samples.sum())
        row["bits_per_sample"] = float(bits[:, i].sum() / samples.sum())
        row["more_than_float32"] = float(more[:, i].sum() / samples.sum())
        of_utterance = more[:, i] / samples
        row["lowest_to_highest"] = [float(of_utterance.min()), float(of_utterance.max())]
        rows.append(row)
    return {"loss": rows}


@torch.inference_mode()
def bits_of(model: Model, engines: list[Engine], waveform, speaker: str) -> list[float]:
    """-log2 p of a waveform (1, T): by each engine, then by the decoder as in training."""
    T, decoder = waveform.shape[-1], model.vqvae.decoder
    period = model.hop_length // decoder.conditioner.upsample // decoder.pqmf.bands
    index = torch.tensor([model.speaker_index(speaker)])
    quantized = model.local_condition(model.encode(waveform), index)
    condition = decoder.conditioner(quantized, index).numpy()
    padded = F.pad(waveform, (0, -T % model.hop_length))
    levels = decoder.pqmf.encode(padded)
    found = []
    for engine in engines:
        logits = torch.from_numpy(engine.streams(1).score([0], condition, period, levels.numpy()))
        found.append(-F.cross_entropy(logits.flatten(0, 2), levels.flatten(), reduction="none"))
    found.append(decoder.log_likelihood(padded, quantized, index)[0])
    return [-float(log_p[:T].double().sum()) / math.log(2) for log_p in found]


PARTS = {"one": one, "many": many, "shapes": shapes, "first": first, "loss": loss}
TITLES = {
    "one": "One utterance, one thread",
    "many": "Utterances of a second at once, {threads} threads",
    "shapes": "Networks of several sizes, one thread",
    "limits": "The same thread's limits",
    "first": "First chunk of a stream, one thread",
    "loss": "Loss of bfloat16 weights",
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--threads", type=int, default=cores(), help="for `many` (default: all cores)")
    add("--repeats", type=int, default=5, help="turns of each task (default: 5)")
    add(
        "--seconds", type=float, default=0.25, help="approximate duration of a turn (default: 0.25)"
    )
    add("--quick", action="store_true", help="few cases and short turns, as a test of the script")
    add("--model", help="folder of a trained model, for `loss`")
    add("--manifest", help="recordings, for `loss`")
    add("--utterances", type=int, default=8, help="of the manifest (default: 8)")
    add("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.quick:
        options.repeats, options.seconds = 1, 0.02
    parts = options.only or [
        name for name in PARTS if name != "loss" or options.model or options.manifest
    ]
    if "loss" in parts and not (options.model and options.manifest):
        parser.error("loss: needs --model and --manifest")

    torch.set_num_threads(1)
    result = {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "threads": options.threads,
        "turns": options.repeats,
    }
    if not options.json:
        print(", ".join(f"{key} {value}" for key, value in result.items()))
    for name in parts:
        tables = PARTS[name](options)
        result |= tables
        for key, rows in {} if options.json else tables.items():
            title = TITLES[key].format(threads=options.threads)
            print(f"\n{title}\n\n{table(rows)}", flush=True)
    if options.json:
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
