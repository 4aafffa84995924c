"""The model card: data, training, scores and limits of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechvq.config import DataConfig, TrainingConfig
from speechvq.training.checkpoint import State

if TYPE_CHECKING:
    from speechvq.model import Model

_SCORES = {
    "loss": ("validation loss of the last stage", "{:.3f}"),
    "bits_per_sample": ("reconstruction, bits per sample", "{:.3f}"),
    "kl_bits_per_code": ("KL, bits per code (log2 K)", "{:.2f}"),
    "bitrate": ("bitrate of the codes, bits/s", "{:.0f}"),
    "total_bits_per_second": ("negative ELBO, bits/s", "{:,.0f}"),
    "perplexity": ("perplexity of the codes", "{:.1f}"),
    "dead_codes": ("codes unused", "{:.0f}"),
}

UNDECIDED = "The licence of the training data decides"
"""What a card says before someone has decided."""
_ENROLLED, _LIMITS = "## Enrolled speakers", "## Limits"


@dataclass(frozen=True)
class Facts:
    """Facts for the card that are not in the configuration.

    Attributes
    ----------
    utterances : int
        Of the training set.
    minutes : float
        Duration of the training set.
    device : str
    processes : int
    stages : mapping of str to int
        Steps of each stage by name, in order.
    decoder_trained : bool
        Whether one of the stages trains the decoder.
    """

    utterances: int
    minutes: float
    device: str
    processes: int
    stages: Mapping[str, int]
    decoder_trained: bool = True


def model_card(
    model: Model, data: DataConfig, training: TrainingConfig, facts: Facts, state: State
) -> str:
    """Markdown for the README.md of a model folder."""
    shown = ", ".join(model.speakers[:12]) + (", …" if len(model.speakers) > 12 else "")
    steps = " and ".join(f"{count} {name}" for name, count in facts.stages.items() if count)
    scores = "\n".join(
        f"| {title} | {form.format(state.validation[key])} |"
        for key, (title, form) in _SCORES.items()
        if key in state.validation
    )
    untrained = (
        ""
        if facts.decoder_trained
        else "\n- The decoder is untrained: the codes can be analysed, but not decoded to speech."
    )
    together = f" in {facts.processes} processes" if facts.processes > 1 else ""
    return f"""# A speechvq VQ-VAE

Encodes {model.sample_rate} Hz speech into {model.frame_rate:g} codes per second from \
{model.config.quantizer.description} (hop length {model.hop_length} samples), and decodes codes \
into speech of any of {len(model.speakers)} speakers: {shown}.

    speechvq-convert --model . --src a.wav --speaker {model.speakers[0]}

## Data

`{data.train}`: {facts.utterances} utterances, {facts.minutes:.1f} minutes, \
{len(model.speakers)} speakers.

## Training

{steps} steps; these weights are from step {state.best_global_step} of all. \
{duration(state.seconds)} on {facts.device}{together}, seed {training.seed}.
`config.yaml` holds every setting, `metrics.jsonl` every logged number.

## Scores

On up to {training.valid_utterances} utterances of `{data.valid}`, held out from training:

| score | value |
|---|---|
{scores or "| none yet | |"}

## Limits

- The model was trained on the speakers above and on the recording conditions of their corpus.
  Other voices, languages, rooms and noises give worse or wrong speech.
- Converted speech can be mistaken for the speaker's own. Ask the speaker; say that the speech is \
synthetic.{untrained}

## Licence

{UNDECIDED}; check before passing the model on.
"""


def with_enrolled(card: str, speaker: str, line: str) -> str:
    """Add a line about an enrolled speaker to a card, or replace the speaker's earlier line."""
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
    begin = enrolled(speaker)
    others = [each for each in lines[first:last] if not each.startswith(begin)]
    lines[first:last] = [*others, begin + line]
    return "\n".join(lines).rstrip("\n") + "\n"


def enrolled(speaker: str) -> str:
    """How the line about an enrolled speaker begins."""
    return f"- {speaker}: "


def duration(seconds: float) -> str:
    """Write a duration for people: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
