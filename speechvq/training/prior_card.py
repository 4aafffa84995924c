"""The model card of a prior: training data, training, scores and limits."""

import math
from collections.abc import Mapping

from speechvq.codes import Codebook
from speechvq.config import LoopConfig, PriorStage
from speechvq.models.prior import Prior
from speechvq.training.card import UNDECIDED, duration
from speechvq.training.checkpoint import State


def prior_card(
    prior: Prior,
    codebook: Codebook,
    manifests: Mapping[str, str],
    codes: int,
    stage: PriorStage,
    training: LoopConfig,
    state: State,
) -> str:
    """Markdown for the README.md of a prior folder."""
    K, G = codebook.codebook_size, codebook.codebooks
    uniform = G * math.log2(K)
    origin = f"a codebook of {K}" if G == 1 else f"{G} codebooks of {K}"
    learned = state.validation.get("bits_per_code", math.nan)
    rate = codebook.frame_rate
    given = "conditioned on the speaker" if prior.config.by_speaker else "without a speaker"
    return f"""# A speechvq prior

Autoregressive prior over the codes of model {codebook.model}, {given}: {rate:g} codes per \
second from {origin}.

    speechvq-sample --seconds 5 --speaker {prior.speakers[0]}

## Data

Codes of `{manifests["train"]}`: {codes:,} codes, {codes / rate / 60:.1f} minutes.

## Training

{stage.steps} steps; these weights are from step {state.best_global_step}. \
{duration(state.seconds)}, seed {training.seed}.
`config.yaml` holds every setting, `metrics.jsonl` every logged number.

## Scores

On `{manifests["valid"]}`, held out from training:

| prior | bits per code | bits per second |
|---|---|---|
| uniform (log2 K) | {uniform:.3f} | {uniform * rate:.1f} |
| this prior | {learned:.3f} | {learned * rate:.1f} |

`speechvq-analyze prior` compares the prior with n-grams.

## Limits

- The prior models sequences of codes, not words or meaning: speech drawn from it has no sense.

## Licence

{UNDECIDED}; check before passing the prior on.
"""
