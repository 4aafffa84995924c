"""The model card: what a model was made of, how well it does, and what it cannot do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speechvq.codes import Codebook
from speechvq.config import DataConfig, PriorTrainingConfig, TrainingConfig
from speechvq.models.prior import Prior
from speechvq.models.vqvae import VQVAE
from speechvq.training.checkpoint import State

_SCORES = {
    "spectral_loss": ("spectral loss (standardised log-mel, mean absolute error)", "{:.3f}"),
    "bits_per_sample": ("reconstruction, bits per sample", "{:.3f}"),
    "kl_bits_per_code": ("KL, bits per code (log2 K)", "{:.2f}"),
    "bitrate": ("bitrate of the codes, bits/s", "{:.0f}"),
    "total_bits_per_second": ("negative ELBO, bits/s", "{:,.0f}"),
    "perplexity": ("perplexity of the codes", "{:.1f}"),
    "dead_codes": ("codes unused", "{:.0f}"),
}

_ENROLLED, _LIMITS = "## Enrolled speakers", "## Limits"


@dataclass(frozen=True)
class Facts:
    """What the card says beside the configuration."""

    utterances: int
    minutes: float
    device: str
    processes: int


def model_card(
    model: VQVAE, data: DataConfig, training: TrainingConfig, facts: Facts, state: State
) -> str:
    """Markdown for a model folder's README.md."""
    config = model.config
    spectral, likelihood = training.spectral.steps, training.likelihood.steps
    shown = ", ".join(model.speakers[:12]) + (", …" if len(model.speakers) > 12 else "")
    names = [f"{spectral} spectral"] * (spectral > 0) + [
        f"{likelihood} of likelihood" + (" on frozen codes" if training.freeze_codes else "")
    ] * (likelihood > 0)
    scores = "\n".join(
        f"| {title} | {form.format(state.validation[key])} |"
        for key, (title, form) in _SCORES.items()
        if key in state.validation
    )
    untrained = (
        "\n- The decoder is untrained: the codes can be analysed, but speech cannot be made."
        if state.phase == "spectral"
        else ""
    )
    together = f" in {facts.processes} processes" if facts.processes > 1 else ""
    return f"""# A speechvq VQ-VAE

Turns {config.sample_rate} Hz speech into {config.frame_rate:g} codes per second, each one of \
{config.codebook_size} (hop length {config.hop_length} samples), and codes back into speech in the \
voice of any of {len(model.speakers)} speakers: {shown}.

    speechvq-convert --model . --src a.wav --speaker {model.speakers[0]}

## Data

`{data.train}`: {facts.utterances} utterances, {facts.minutes:.1f} minutes, \
{len(model.speakers)} speakers.

## Training

{" and ".join(names)} steps; these weights are from step {state.best_global_step} of all. \
{duration(state.seconds)} on {facts.device}{together}, seed {training.seed}.
`config.yaml` holds every setting, `metrics.jsonl` every number on the way.

## Scores

On up to {training.valid_utterances} utterances of `{data.valid}`, held out from training:

| score | value |
|---|---|
{scores or "| none yet | |"}

## Limits

- It knows the speakers above and the kind of recordings that it was trained on; other voices,
  languages, rooms and noises come out worse, or wrong.
- Converted speech can be mistaken for the speaker's own. Ask the speaker; say that it is \
synthetic.{untrained}

## Licence

That of the training data, which its owner decides; check before passing the model on.
"""


def with_enrolled(card: str, speaker: str, line: str) -> str:
    """A card with a line about a speaker who was enrolled, in place of an earlier one."""
    lines = card.splitlines()
    if _ENROLLED not in lines:
        place = lines.index(_LIMITS) if _LIMITS in lines else len(lines)
        apart = [""] if place and lines[place - 1] else []
        intro = "Added to the trained model, which they do not change:"
        lines[place:place] = [*apart, _ENROLLED, "", intro, "", ""]
    first = lines.index(_ENROLLED) + 4
    last = first
    while last < len(lines) and lines[last].startswith("- "):
        last += 1
    begin = f"- {speaker}: "
    others = [each for each in lines[first:last] if not each.startswith(begin)]
    lines[first:last] = [*others, begin + line]
    return "\n".join(lines).rstrip("\n") + "\n"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
