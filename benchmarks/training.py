"""Training throughput of the WaveNet decoder: ours beside the plain Conv1d form of the same net.

    python benchmarks/training.py [--json]

One step is forward, loss, backward and Adam on a batch of random audio. The forms take turns, so
that a busy moment of the machine falls on all of them; the table has the median of the repeats.
Before that, both forms must give the same logits from the same weights.
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

from speechvq import mu_law
from speechvq.config import VQVAEConfig, WaveNetConfig
from speechvq.models.conditioner import Conditioner
from speechvq.models.wavenet import WaveNet

HOP_LENGTH = 640
UPSAMPLE = 8  # condition vectors per code, as in recipes/vctk/conf/cpu.yaml
CONDITION_CHANNELS = 128
TOLERANCE = 1e-4  # of float32 logits


class ConvWaveNet(nn.Module):
    """The same network as most write it: Conv1d on (B, C, T), the condition upsampled first."""

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
        for dilated, of_condition, residual, skip in zip(
            self.dilated, self.conditions, self.residuals, self.skips, strict=True
        ):
            past = F.pad(h, ((self.config.kernel_size - 1) * dilated.dilation[0], 0))
            filter_, gate = (dilated(past) + of_condition(condition)).chunk(2, dim=1)
            z = torch.tanh(filter_) * torch.sigmoid(gate)
            skips = skips + skip(z)
            h = h + residual(z)
        logits = self.output(F.relu(self.hidden(F.relu(skips)))).transpose(1, 2)
        return logits.unsqueeze(2)

    @torch.no_grad()
    def copy_weights(self, ours: WaveNet) -> None:
        """Take the weights of our form."""
        C, k = self.config.residual_channels, self.config.kernel_size
        self.embed.weight.copy_(ours.embed.weight)
        weights = ours.condition.weight.unflatten(0, (-1, 2 * C))
        biases = ours.condition.bias.unflatten(0, (-1, 2 * C))
        for i, layer in enumerate(ours.layers):
            # (2C, k·C) with the oldest tap first -> (2C, C, k)
            gates = layer.gates.weight.unflatten(1, (k, C)).transpose(1, 2)
            self.dilated[i].weight.copy_(gates)
            self.dilated[i].bias.copy_(layer.gates.bias)
            self.conditions[i].weight.copy_(weights[i].unsqueeze(-1))
            self.conditions[i].bias.copy_(biases[i])
            for part, rows in ((self.residuals[i], slice(C)), (self.skips[i], slice(C, None))):
                part.weight.copy_(layer.outputs.weight[rows].unsqueeze(-1))
                part.bias.copy_(layer.outputs.bias[rows])
        for mine, theirs in ((self.hidden, ours.hidden), (self.output, ours.output)):
            mine.weight.copy_(theirs.weight.unsqueeze(-1))
            mine.bias.copy_(theirs.bias)


class Step:
    """Training steps of one form, on the same batch each time."""

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
        """Run one step; its seconds."""
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


def largest_difference(ours: WaveNet, conv: ConvWaveNet, conditioner: Conditioner, batch) -> float:
    """The largest difference between the two forms' logits, both in float32."""
    levels, quantized, speaker = batch
    with torch.no_grad():
        condition = conditioner(quantized, speaker)
        return float((ours(levels, condition) - conv(levels, condition)).abs().max())


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--layers", type=int, default=20)
    add("--channels", type=int, default=64, help="residual and skip (default: 64)")
    add("--batch-size", type=int, default=4)
    add("--segment-length", type=int, default=5120, help="samples (default: 5120)")
    add("--steps", type=int, default=4, help="in a row, in each repeat (default: 4)")
    add("--repeats", type=int, default=7)
    add("--threads", type=int, default=torch.get_num_threads())
    add("--only-ours", action="store_true", help="leave the Conv1d form out")
    add("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.segment_length % HOP_LENGTH:
        parser.error(f"--segment-length must be a multiple of {HOP_LENGTH}")

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = WaveNetConfig(
        layers=options.layers,
        residual_channels=options.channels,
        skip_channels=options.channels,
    )
    whole = VQVAEConfig(
        strides=(HOP_LENGTH,),
        condition_upsample=UPSAMPLE,
        condition_channels=CONDITION_CHANNELS,
        condition_layers=2,
        wavenet=config,
    )
    B, T = options.batch_size, options.segment_length
    batch = (
        torch.randint(mu_law.LEVELS, (B, T, 1)),
        torch.randn(B, T // HOP_LENGTH, whole.codebook_dim),
        torch.randint(4, (B,)),
    )

    def decoder() -> WaveNet:
        torch.manual_seed(0)
        return WaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)

    def conv() -> ConvWaveNet:
        net = ConvWaveNet(config, mu_law.LEVELS, CONDITION_CHANNELS, start=mu_law.SILENCE)
        net.copy_weights(decoder())
        return net

    difference = largest_difference(decoder(), conv(), Conditioner(whole, 4), batch)
    if difference > TOLERANCE:
        print(f"the two forms differ by {difference:g}, above {TOLERANCE:g}", file=sys.stderr)
        return 1

    forms = {
        "speechvq, (B, T, C) matrix products, bfloat16": (decoder, True),
        "speechvq, (B, T, C) matrix products, float32": (decoder, False),
    }
    if not options.only_ours:
        forms |= {
            "Conv1d on (B, C, T), bfloat16": (conv, True),
            "Conv1d on (B, C, T), float32": (conv, False),
        }
    steps = {
        name: Step(make(), Conditioner(whole, 4), bfloat16, batch)
        for name, (make, bfloat16) in forms.items()
    }
    for step in steps.values():
        step(), step()
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.repeats):
        for name, step in steps.items():
            seconds = sum(step() for _ in range(options.steps))
            speeds[name].append(B * T * options.steps / seconds)

    medians = {name: round(statistics.median(values)) for name, values in speeds.items()}
    slowest = min(medians.values())
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
    print(
        f"{config.layers} layers, {options.channels} channels, "
        f"{result['network']['parameters'] / 1e6:.2f} M parameters; batch {B} x {T} samples; "
        f"{result['threads']} threads; torch {torch.__version__}; median of {options.repeats}"
    )
    print(f"largest difference of float32 logits between the forms: {difference:.1e}\n")
    print("| form | samples/s | lowest to highest | times |")
    print("|---|---|---|---|")
    for name, median in medians.items():
        low, high = result["range"][name]
        print(f"| {name} | {median:,} | {low:,} to {high:,} | {median / slowest:.2f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
