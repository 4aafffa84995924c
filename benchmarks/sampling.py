"""Sampling speed of the WaveNet decoder: ours beside others', and beside the machine's limits.

    python benchmarks/sampling.py [--json] [--only PART ...] [--model DIR --manifest FILE]

one     one utterance on one thread: the compiled engine, the plain PyTorch step, and the PyPI
        package wavenet-vocoder, where it is installed
many    several utterances at once on all cores, by `speechvq.sampling.sample_batch`
shapes  how speed falls as layers and channels grow, on one thread, beside the arithmetic and the
        weights that a sample takes (from beyond the nearest cache), and what the core reaches
        in a large matrix product and in reading as many bytes again and again
first   seconds until `speechvq.sampling.stream` gives its first chunk
loss    bits per sample that bfloat16 weights cost a trained model on recordings; takes --model
        and --manifest

All but the last run networks of random weights; condition vectors stand for 80 samples each. What
is compared takes turns, so that a busy moment of the machine falls on all of it; tables have the
median of the turns. Each runs once before, so that nothing is compiled within a measurement.

wavenet-vocoder's network is not quite ours. It projects its condition vectors, and multiplies its
one-hot input by the first layer's weights, once a sample; ours are one vector per 80 samples and a
look-up. The layer before its softmax is as wide as its skips, 64, where ours is 256 wide. Residual
sums are scaled. The table has both networks' multiplications ("MACs"). Its sampler records
gradients unless the caller turns them off; it is timed both ways, without weight normalization.
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
from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial

import numba
import numpy as np
import torch
import torch.nn.functional as F

import speechvq
from speechvq import mu_law
from speechvq.config import VQVAEConfig, WaveNetConfig
from speechvq.data.manifest import Utterance, read_manifest
from speechvq.data.segments import Waveforms
from speechvq.models.vqvae import VQVAE
from speechvq.models.wavenet import WaveNet
from speechvq.sampling import SamplingOptions, cores, kernel, sample_batch, stream
from speechvq.sampling.conditions import Conditions
from speechvq.sampling.engine import Engine
from speechvq.sampling.options import PRECISIONS
from speechvq.sampling.reference_step import ReferenceSampler
from speechvq.training.validation import LONGEST

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

Task = Callable[[int], int]
"""Does so many units of its work, and tells how much that was."""


def rates(tasks: dict[Hashable, Task], options, units: int | None = None) -> dict[Hashable, list]:
    """Work per second of each task, in every turn.

    Without `units`, each gets so many that its turn takes about `options.seconds`.
    """
    of_turn = {}
    for name, task in tasks.items():
        task(1)
        began = time.perf_counter()
        task(1)
        seconds = time.perf_counter() - began
        of_turn[name] = units or max(1, round(options.seconds / seconds))
    found: dict[Hashable, list[float]] = {name: [] for name in tasks}
    for _ in range(options.repeats):
        for name, task in tasks.items():
            began = time.perf_counter()
            work = task(of_turn[name])
            found[name].append(work / (time.perf_counter() - began))
    return found


def speed(turns: list[float]) -> dict[str, float]:
    """A table's columns for the samples per second of some turns."""
    median = round(statistics.median(turns))
    return {
        "samples_per_second": median,
        "lowest_to_highest": [round(min(turns)), round(max(turns))],
        "times_real_time": median / RATE,
    }


def network(layers: int = 20, channels: int = 64) -> WaveNet:
    """A decoder of random weights, of 256-wide output layers."""
    torch.manual_seed(0)
    config = WaveNetConfig(
        layers=layers, residual_channels=channels, skip_channels=channels, output_channels=256
    )
    net = WaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)
    return net.eval().requires_grad_(False)


def vqvae() -> VQVAE:
    """A model of random weights around the decoder of 20 layers of 64 channels."""
    torch.manual_seed(0)
    config = VQVAEConfig(
        strides=(HOP_LENGTH,),
        condition_upsample=HOP_LENGTH // PERIOD,
        condition_channels=CONDITION_CHANNELS,
        condition_layers=2,
        wavenet=network().config,
    )
    return VQVAE(config, ["somebody"]).eval().requires_grad_(False)


def drawing(sampler: Engine | ReferenceSampler, count: int) -> Task:
    """Draw the next samples of `count` utterances in lock-step; a unit is a condition vector."""
    streams, rng = sampler.streams(count), np.random.default_rng(0)

    def draw(vectors: int) -> int:
        condition = rng.standard_normal((count, vectors, CONDITION_CHANNELS), np.float32)
        uniforms = rng.random((count, vectors * PERIOD, 1))
        return streams.draw(range(count), condition, PERIOD, uniforms).size

    return draw


def other_network():
    """wavenet-vocoder's network of the same shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions of torch that are on their way out
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
    """Draw samples with wavenet-vocoder; a unit is as many as a condition vector stands for."""

    @torch.inference_mode(not gradients)
    def draw(vectors: int) -> int:
        condition = torch.randn(1, CONDITION_CHANNELS, vectors)
        condition = condition.repeat_interleave(PERIOD, dim=-1)
        return net.incremental_forward(c=condition, T=vectors * PERIOD).shape[-1]

    return draw


def macs(decoder: WaveNet) -> float:
    """Multiplications a sample: each weight once, the condition's once for its samples."""
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
        row = {"sampler": name, **speed(turns[name]), "macs_per_sample": round(products)}
        row["parameters"] = sum(p.numel() for p in net.parameters())
        for other in others:
            ratio = statistics.median(turns[name]) / statistics.median(turns[other])
            row[f"times_{other}"] = ratio
        rows.append(row)
    return {"one": rows}


def many(options) -> dict[str, list]:
    """Several utterances at once on all cores."""
    model = vqvae()
    codes = np.random.default_rng(0).integers(model.config.codebook_size, size=RATE // HOP_LENGTH)

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
            {"weights": precision, "utterances": count, **speed(turns[count, precision])}
            for count, precision in tasks
        ]
    }


def weight_bytes(engine: Engine, count: int) -> tuple[int, float]:
    """Bytes of the layers' weights; and how many are fetched for a sample of each of `count`.

    What is multiplied with the same weights fetches them once: all utterances in lock-step; or, by
    the past taps of a few, successive samples, as many as divide the dilation.
    """
    w = engine.weights
    rest = sum(part.nbytes for part in (w.present, w.outputs, w.hidden, w.output))
    shared = [count] * len(w.dilations)
    if count < kernel.MANY:
        shared = [math.gcd(int(dilation), kernel.AHEAD) for dilation in w.dilations]
    past = w.past.nbytes * statistics.mean(1 / rows for rows in shared)
    return rest + w.past.nbytes, rest / count + past


def repeating(operation: Callable[[], object], work: int) -> Task:
    """Do so much work by one operation again and again."""

    def repeat(times: int) -> int:
        for _ in range(times):
            operation()
        return times * work

    return repeat


def shapes(options) -> dict[str, list]:
    """Networks of several sizes, and the limits of the core they run on."""
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
    billions = {name: statistics.median(its_turns) / 1e9 for name, its_turns in turns.items()}
    rows = []
    for case, (products, size, fetched) in needs.items():
        row = dict(zip(("layers", "channels", "weights", "streams"), case, strict=True))
        row |= speed(turns[case])
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


def until_first(model: VQVAE, pace: float) -> tuple[float, float, int]:
    """Seconds to the first chunk from the first code and from the call, and the chunk's samples.

    Codes come one by one, `pace` seconds apart.
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
    heard = time.perf_counter()
    return heard - arrivals[0], heard - called, len(chunk)


def balanced(utterances: list[Utterance], count: int) -> list[Utterance]:
    """The first utterance of each speaker, then the second of each, and so on, `count` in all."""
    turn: Counter[str] = Counter()
    turns = []
    for utterance in utterances:
        turns.append(turn[utterance.speaker])
        turn[utterance.speaker] += 1
    return [utterances[i] for i in np.argsort(turns, kind="stable")[:count]]


def loss(options) -> dict[str, list]:
    """Bits per sample of recordings under float32 and bfloat16 weights."""
    model = speechvq.load(options.model)
    chosen = balanced(read_manifest(options.manifest), options.utterances)
    waveforms = Waveforms(chosen, model.sample_rate)
    engines = [Engine(model.decoder, precision) for precision in PRECISIONS]
    bits, samples = [], []
    for i, utterance in enumerate(chosen):
        length = min(int(waveforms.lengths[i]), round(LONGEST * model.sample_rate))
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
def bits_of(model: VQVAE, engines: list[Engine], waveform, speaker: str) -> list[float]:
    """-log2 p of a waveform (1, T): by each engine, then by the decoder as it is trained."""
    T, config = waveform.shape[-1], model.config
    period = model.hop_length // config.condition_upsample // config.subbands
    index = torch.tensor([model.speaker_index(speaker)])
    codes = model.encode(waveform)
    condition = model.condition(codes, index).numpy()
    padded = F.pad(waveform, (0, -T % model.hop_length))
    levels = model.subbands.encode(padded)
    found = []
    for engine in engines:
        logits = torch.from_numpy(engine.streams(1).score([0], condition, period, levels.numpy()))
        found.append(-F.cross_entropy(logits.flatten(0, 2), levels.flatten(), reduction="none"))
    found.append(model.log_likelihood(padded, model.condition(codes, index))[0])
    return [-float(log_p[:T].double().sum()) / math.log(2) for log_p in found]


def table(rows: list[dict]) -> str:
    """Rows with the same keys as a Markdown table."""

    def cell(value) -> str:
        if isinstance(value, list):
            return " to ".join(map(cell, value))
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [[key.replace("_", " ") for key in rows[0]], ["---"] * len(rows[0])]
    lines += [[cell(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    add("--repeats", type=int, default=5, help="turns of each (default: 5)")
    add("--seconds", type=float, default=0.25, help="of a turn, about (default: 0.25)")
    add("--quick", action="store_true", help="few cases, short turns: only to see that it works")
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
        parser.error("loss: takes --model and --manifest")

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
