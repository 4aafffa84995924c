"""The model card of a prior: training data, training, scores and limits."""

import math
from collections.abc import Mapping

from speechvq.codes import Codebook
from speechvq.config import PriorTrainingConfig
from speechvq.models.prior import Prior
from speechvq.training.card import duration
from speechvq.training.checkpoint import State


def prior_card(
    prior: Prior,
    codebook: Codebook,
    manifests: Mapping[str, str],
    codes: int,
    training: PriorTrainingConfig,
    state: State,
) -> str:
    """Markdown for a prior folder's README.md."""
    uniform = math.log2(codebook.codebook_size)
    learned = state.validation.get("bits_per_code", math.nan)
    rate = codebook.frame_rate
    knows = "knows who speaks" if prior.config.by_speaker else "does not know who speaks"
    return f"""# A speechvq prior

What follows what among the codes of model {codebook.model}, {rate:g} a second, each one of \
{codebook.codebook_size}. It {knows}.

    speechvq-sample --seconds 5 --speaker {prior.speakers[0]}

## Data

The codes of `{manifests["train"]}`: {codes:,} of them, {codes / rate / 60:.1f} minutes.

## Training

{training.phase.steps} steps; these weights are from step {state.best_global_step}. \
{duration(state.seconds)}, seed {training.seed}.
`config.yaml` holds every setting, `metrics.jsonl` every number on the way.

## Scores

On `{manifests["valid"]}`, held out from training:

| prior | bits per code | bits per second |
|---|---|---|
| uniform (log2 K) | {uniform:.3f} | {uniform * rate:.1f} |
| this one | {learned:.3f} | {learned * rate:.1f} |

`speechvq-analyze prior` sets it beside n-grams.

## Limits

- It knows sounds and what follows them, and no meaning: what it says is babble.

## Licence

That of the training data, which its owner decides; check before passing it on.
"""
