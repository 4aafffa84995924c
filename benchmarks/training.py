"""Training throughput of the WaveNet decoder, compared with a plain Conv1d implementation.

    python benchmarks/training.py [--json]
    python benchmarks/training.py --contention [--json]

A step is forward, loss, backward and Adam on a batch of random audio. The implementations take
turns, so that other load on the machine affects all of them; the table has medians over the
repeats. First, both implementations must give the same logits from the same weights.

--contention compares numbers of threads instead, quiet and beside one busy core (threads.py).
"""

import argparse
import json
import platform
import statistics
import sys
import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import ConditionerConfig, QuantizerConfig, WaveNetConfig
from speechvq.models import mu_law
from speechvq.models.conditioner import Conditioner
from speechvq.models.wavenet import WaveNet

HOP_LENGTH = 640
UPSAMPLE = 8  # condition vectors per code, as in recipes/vctk/conf/cpu.yaml
CONDITION_CHANNELS = 128
CODEBOOK_DIM = QuantizerConfig().codebook_dim
SPEAKERS = 4
TOLERANCE = 1e-4  # of float32 logits


class ConvWaveNet(nn.Module):
    """The same network in the usual implementation: Conv1d on (B, C, T), condition upsampled."""

    def __init__(self, config: WaveNetConfig, levels: int, condition_channels: int, start: int):
        super().__init__()
        self.config, self.start = config, start
        C, S, k = config.residual_channels, config.skip_channels, config.kernel_size
        self.embed = nn.Embedding(levels, C)
        self.dilated = nn.ModuleList(nn.Conv1d(C, 2 * C, k, dilation=d) for d in config.dilations)
        self.conditions = nn.ModuleList(
            nn.Conv1d(condition_channels, 2 * C, 1) for _ in config.dilations
        )
        self.residuals = nn.ModuleList(nn.Conv1d(C, C, 1) for _ in config.dilations)
        self.skips = nn.ModuleList(nn.Conv1d(C, S, 1) for _ in config.dilations)
        self.hidden = nn.Conv1d(S, config.output_channels, 1)
        self.output = nn.Conv1d(config.output_channels, levels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, T, 1, V) of levels x (B, T, 1) and condition vectors (B, M, C)."""
        before = F.pad(x[:, :-1, 0], (1, 0), value=self.start)
        h = self.embed(before).transpose(1, 2)  # (B, C, T)
        condition = condition.transpose(1, 2)
        condition = condition.repeat_interleave(x.shape[1] // condition.shape[2], dim=2)
        skips = 0
        for dilated, project, residual, skip in zip(
            self.dilated, self.conditions, self.residuals, self.skips, strict=True
        ):
            past = F.pad(h, ((self.config.kernel_size - 1) * dilated.dilation[0], 0))
            filter_, gate = (dilated(past) + project(condition)).chunk(2, dim=1)
            z = torch.tanh(filter_) * torch.sigmoid(gate)
            skips = skips + skip(z)
            h = h + residual(z)
        logits = self.output(F.relu(self.hidden(F.relu(skips)))).transpose(1, 2)
        return logits.unsqueeze(2)

    @torch.no_grad()
    def copy_weights(self, wavenet: WaveNet) -> None:
        """Copy the weights of a `WaveNet`."""
        C, k = self.config.residual_channels, self.config.kernel_size
        self.embed.weight.copy_(wavenet.embed.weight)
        weights = wavenet.condition.weight.unflatten(0, (-1, 2 * C))
        biases = wavenet.condition.bias.unflatten(0, (-1, 2 * C))
        for i, layer in enumerate(wavenet.layers):
            # (2C, k·C) with the oldest tap first -> (2C, C, k)
            gates = layer.gates.weight.unflatten(1, (k, C)).transpose(1, 2)
            self.dilated[i].weight.copy_(gates)
            self.dilated[i].bias.copy_(layer.gates.bias)
            self.conditions[i].weight.copy_(weights[i].unsqueeze(-1))
            self.conditions[i].bias.copy_(biases[i])
            for part, rows in ((self.residuals[i], slice(C)), (self.skips[i], slice(C, None))):
                part.weight.copy_(layer.outputs.weight[rows].unsqueeze(-1))
                part.bias.copy_(layer.outputs.bias[rows])
        for conv, linear in ((self.hidden, wavenet.hidden), (self.output, wavenet.output)):
            conv.weight.copy_(linear.weight.unsqueeze(-1))
            conv.bias.copy_(linear.bias)


class Step:
    """Training steps of one implementation, on the same batch."""

    def __init__(self, decoder: nn.Module, conditioner: Conditioner, bfloat16: bool, batch: tuple):
        self.decoder, self.conditioner, self.bfloat16, self.batch = (
            decoder,
            conditioner,
            bfloat16,
            batch,
        )
        parameters = [*decoder.parameters(), *conditioner.parameters()]
        self.optimizer = torch.optim.Adam(parameters, 1e-4, fused=True)

    def __call__(self) -> float:
        """Run one step and return the seconds it took."""
        levels, quantized, speaker = self.batch
        began = time.perf_counter()
        cast = torch.autocast("cpu", torch.bfloat16) if self.bfloat16 else nullcontext()
        with cast:
            logits = self.decoder(levels, self.conditioner(quantized, speaker))
        loss = F.cross_entropy(logits.float().flatten(0, 2), levels.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - began


def decoder_step(
    config: WaveNetConfig = WaveNetConfig(layers=20, residual_channels=64, skip_channels=64),  # noqa: B008
    batch_size: int = 4,
    segment_length: int = 5120,
) -> tuple[Step, int]:
    """A step of our WaveNet in bfloat16, and its samples."""
    wavenet = WaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)
    batch = random_batch(batch_size, segment_length)
    return Step(wavenet, conditioner(), True, batch), batch_size * segment_length


def random_batch(batch_size: int, segment_length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Levels (B, T, 1), latents (B, N, D) and speakers (B,)."""
    return (
        torch.randint(mu_law.LEVELS, (batch_size, segment_length, 1)),
        torch.randn(batch_size, segment_length // HOP_LENGTH, CODEBOOK_DIM),
        torch.randint(SPEAKERS, (batch_size,)),
    )


def conditioner() -> Conditioner:
    """The conditioner of the decoder."""
    config = ConditionerConfig(CONDITION_CHANNELS, UPSAMPLE, layers=2)
    return Conditioner(config, CODEBOOK_DIM, SPEAKERS)


def largest_difference(
    wavenet: WaveNet, conv: ConvWaveNet, conditioner: Conditioner, batch
) -> float:
    """Largest difference between the logits of both implementations in float32."""
    levels, quantized, speaker = batch
    with torch.no_grad():
        condition = conditioner(quantized, speaker)
        return float((wavenet(levels, condition) - conv(levels, condition)).abs().max())


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--layers", type=int, default=20)
    add("--channels", type=int, default=64, help="residual and skip channels (default: 64)")
    add("--batch-size", type=int, default=4)
    add("--segment-length", type=int, default=5120, help="samples (default: 5120)")
    add("--steps", type=int, default=4, help="steps in each repeat (default: 4)")
    add("--repeats", type=int, default=7)
    add("--threads", type=int, default=torch.get_num_threads())
    add("--only-ours", action="store_true", help="leave out the Conv1d implementation")
    add("--contention", action="store_true",
        help="compare numbers of threads instead, quiet and beside one busy core")  # fmt: skip
    add("--seconds", type=float, default=4.0, help="of each turn of --contention (default: 4)")
    add("--json", action="store_true")
    return parser


def samples_per_second(
    steps: dict[str, Step], samples: int, count: int, repeats: int
) -> dict[str, list[float]]:
    """Measure each implementation in turn: `count` steps of `samples` samples in every repeat."""
    for step in steps.values():
        step(), step()
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            seconds = sum(step() for _ in range(count))
            speeds[name].append(samples * count / seconds)
    return speeds


def print_table(result: dict) -> None:
    """Print a result as a Markdown table."""
    network, (B, T), medians = result["network"], result["batch"], result["samples_per_second"]
    slowest = min(medians.values())
    print(
        f"{network['layers']} layers, {network['channels']} channels, "
        f"{network['parameters'] / 1e6:.2f} M parameters; batch {B} x {T} samples; "
        f"{result['threads']} threads; torch {result['torch']}; median of {result['repeats']}"
    )
    difference = result["largest_difference_of_logits"]
    print(f"largest difference of float32 logits between the implementations: {difference:.1e}\n")
    print("| implementation | samples/s | lowest to highest | times |")
    print("|---|---|---|---|")
    for name, median in medians.items():
        low, high = result["range"][name]
        print(f"| {name} | {median:,} | {low:,} to {high:,} | {median / slowest:.2f} |")


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    options = parser().parse_args(argv)
    if options.contention:
        import threads

        return threads.main(options.repeats, options.seconds, options.json)
    if options.segment_length % HOP_LENGTH:
        parser().error(f"--segment-length must be a multiple of {HOP_LENGTH}")

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = WaveNetConfig(
        layers=options.layers,
        residual_channels=options.channels,
        skip_channels=options.channels,
    )
    B, T = options.batch_size, options.segment_length
    batch = random_batch(B, T)

    def decoder() -> WaveNet:
        torch.manual_seed(0)
        return WaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)

    def conv() -> ConvWaveNet:
        net = ConvWaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)
        net.copy_weights(decoder())
        return net

    difference = largest_difference(decoder(), conv(), conditioner(), batch)
    if difference > TOLERANCE:
        print(
            f"the two implementations differ by {difference:g}, above {TOLERANCE:g}",
            file=sys.stderr,
        )
        return 1

    implementations = {
        "speechvq, (B, T, C) matrix products, bfloat16": (decoder, True),
        "speechvq, (B, T, C) matrix products, float32": (decoder, False),
    }
    if not options.only_ours:
        implementations |= {
            "Conv1d on (B, C, T), bfloat16": (conv, True),
            "Conv1d on (B, C, T), float32": (conv, False),
        }
    steps = {
        name: Step(make(), conditioner(), bfloat16, batch)
        for name, (make, bfloat16) in implementations.items()
    }
    speeds = samples_per_second(steps, B * T, options.steps, options.repeats)
    medians = {name: round(statistics.median(values)) for name, values in speeds.items()}
    result = {
        "network": {
            "layers": config.layers,
            "channels": options.channels,
            "parameters": sum(p.numel() for p in decoder().parameters()),
        },
        "batch": [B, T],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "repeats": options.repeats,
        "largest_difference_of_logits": difference,
        "samples_per_second": medians,
        "range": {name: [round(min(v)), round(max(v))] for name, v in speeds.items()},
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return 0
    print_table(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
