"""Training a VQ-VAE: its phases, and the model folder that comes out.

1. The spectral phase (`SpectralObjective`, not in the paper), in the loop two: `latents`, in which
   the encoder learns to find cepstra or acoustic units, or with an envelope what that needs; and
   `spectral`, in which the codebook starts at clusters of the latents or becomes the units, and
   the envelope, log-mel frames, is learned from the codes. The decoder's conditioner begins as the
   envelope's.
2. The likelihood phase: the paper's equation 3; or, with `freeze_codes`, the decoder and its
   conditioner alone, on codes that stay what they are.

Without the first phase the codebook starts at k-means centres of the untrained encoder's latents.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechvq.config import (
    DataConfig,
    PhaseConfig,
    SpectralPhaseConfig,
    TrainingConfig,
    VQVAEConfig,
)
from speechvq.data.manifest import Utterance, read_known, read_manifest
from speechvq.data.segments import Labels, SegmentBatches, Waveforms
from speechvq.model_folder import (
    CARD,
    CONFIG,
    SPEAKERS,
    WEIGHTS,
    load_model,
    read_speakers,
    save_model,
)
from speechvq.models.cepstra import SpeakerCepstra, Voice, voice_of
from speechvq.models.spectral import (
    CepstralTarget,
    SpectralObjective,
    UnitTarget,
    start_at_clusters,
)
from speechvq.models.vqvae import VQVAE
from speechvq.training import metrics
from speechvq.training.card import Facts, model_card
from speechvq.training.checkpoints import BEST, FOLDER, LAST, State, load_weights, read_header
from speechvq.training.loop import Loop, Phase, StepOutput, Validation
from speechvq.training.precision import use_bfloat16
from speechvq.training.processes import Processes, processes
from speechvq.training.speakers import (
    find_dialects,
    fit_sounds,
    fit_speakers,
    hear_speakers,
    speech_level,
)
from speechvq.training.units import find_units
from speechvq.training.validation import Validator

logger = logging.getLogger(__name__)

LATENTS, SPECTRAL, LIKELIHOOD = "latents", "spectral", "likelihood"
LATENTS_PER_CODE = 64
"""Latents that k-means gets for each code, if there is so much data."""
SECONDS_FOR_SCALES = 120.0
"""Audio from which the scales of sub-bands and envelope are taken, if there is so much."""
MARGIN = 8
"""Codes beyond a segment, on either side, from which frozen codes and their conditions are made.

At the edge of a crop the encoder finds other codes than in the whole recording, and a segment of
few codes is nearly all edge.
"""
_OF_CODES = (
    "sample_rate",
    "strides",
    "encoder_input",
    "encoder_widths",
    "encoder_filterbank",
    "encoder_residual_layers",
    "encoder_norm",
    "codebook_size",
    "codebook_dim",
)
"""What two models must have in common for one to take the other's codes."""
_OF_ENVELOPE = (
    "envelope_bands",
    "condition_channels",
    "condition_upsample",
    "condition_layers",
)
"""The same for the envelope."""
_FREE = ("training.workers", "training.samples", "training.tensorboard")
"""Settings that a resume may change, since no number depends on them."""


class SpectralPhase(nn.Module):
    """The auxiliary objective, of the latents or of the codes."""

    def __init__(
        self, objective: SpectralObjective, quantize: bool, voices: SpeakerCepstra | None = None
    ):
        super().__init__()
        self.objective = objective
        self.quantize = quantize
        self.voices = voices
        self.dialects: Tensor | None = None
        """As in `FrozenCodesPhase`."""

    @property
    def learned(self) -> list[nn.Parameter]:
        """What the phase trains."""
        objective = self.objective
        if self.quantize:
            return list(objective.envelope.parameters())
        if objective.target is None:
            parts = objective.encoder.surroundings, objective.quantizer, objective.envelope
            return [p for part in parts for p in part.parameters()]
        return [*objective.encoder.parameters(), *objective.target.parameters()]

    def forward(self, waveform: Tensor, speaker: Tensor, units: Tensor | None = None) -> StepOutput:
        """Loss for a waveform (B, T), speakers (B,) and, if there are any, units (B, N)."""
        voice = voice_of(self.voices, speaker)
        among = _of_others(self.dialects, waveform) if self.training else None
        out = self.objective(waveform, speaker, self.quantize, units, voice, among)
        return StepOutput(out.loss, {}, out.codes)


class LikelihoodPhase(nn.Module):
    """Equation 3, all parts learning together."""

    def __init__(self, model: VQVAE, history_noise: float = 0.0):
        super().__init__()
        self.model = model
        self.history_noise = history_noise

    def forward(self, waveform: Tensor, speaker: Tensor) -> StepOutput:
        """Loss for a waveform (B, T) and speakers (B,)."""
        out = self.model(waveform, speaker, self.history_noise)
        terms = {
            "bits_per_sample": out.bits_per_sample,
            "codebook_loss": out.codebook_loss,
            "commitment_loss": out.commitment_loss,
        }
        return StepOutput(out.loss, terms, out.codes)


class FrozenCodesPhase(nn.Module):
    """The likelihood of the decoder, on codes that no longer change.

    The codes are found in float32 whatever the precision, as they are when the model is used.
    `voices` are the speakers', for an encoder that listens to them.
    """

    def __init__(
        self,
        model: VQVAE,
        history_noise: float = 0.0,
        voices: SpeakerCepstra | None = None,
    ):
        super().__init__()
        self.model = model
        self.history_noise = history_noise
        self.voices = voices
        self.dialects: Tensor | None = None
        """(…, K) bool: codes that a speaker uses, or all; none: a segment's codes are its own."""

    @property
    def parameters_of_decoder(self) -> list[nn.Parameter]:
        """What is left to learn."""
        return [*self.model.conditioner.parameters(), *self.model.decoder.parameters()]

    def train(self, mode: bool = True) -> "FrozenCodesPhase":
        """As for every module, but encoder and quantizer stay in eval mode."""
        super().train(mode)
        self.model.encoder.eval()
        self.model.quantizer.eval()
        return self

    def forward(self, waveform: Tensor, speaker: Tensor) -> StepOutput:
        """Loss for a waveform (B, T) with MARGIN codes on either side, and speakers (B,).

        T is a multiple of the hop length.
        """
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            codes = self._codes(waveform, voice_of(self.voices, speaker))
            quantized = self.model.quantizer.lookup(codes)
        model = self.model
        condition = model.conditioner(quantized, speaker)
        nll = -model.log_likelihood(waveform, condition, MARGIN, self.history_noise).mean()
        terms = {"bits_per_sample": nll.detach() / math.log(2)}
        return StepOutput(nll, terms, codes[:, MARGIN:-MARGIN])

    def _codes(self, waveform: Tensor, voice: Voice | None) -> Tensor:
        """Codes (B, N) of waveforms (B, T), in training as if of another's voice.

        Such are the codes of a recording that is converted. So the decoder learns to take the voice
        from the speaker alone.
        """
        among = _of_others(self.dialects, waveform) if self.training else None
        return self.model.quantizer.nearest(self.model.latents(waveform, voice), among)


def _of_others(dialects: Tensor | None, waveform: Tensor) -> Tensor | None:
    """The codes, (B, K) bool, of a dialect drawn at random for each of (B, T)."""
    if dialects is None:
        return None
    return dialects[torch.randint(len(dialects), (len(waveform),)).to(waveform.device)]


def train_vqvae(
    model: VQVAEConfig,
    data: DataConfig,
    training: TrainingConfig,
    out: str | os.PathLike,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Train a VQ-VAE on a corpus's manifests.

    Started by torchrun in several processes, they share each batch.

    Parameters
    ----------
    model, data, training
        The configuration.
    out
        Model folder to write: model, metrics and checkpoints.
    device
        "auto", "cpu", "cuda", "cuda:1".
    resume
        Continue from the folder's last checkpoint, if there is one, as if there had been no stop.
    overwrite
        Delete a training that is in the folder.
    progress
        Show bars on stderr.

    Returns
    -------
    pathlib.Path
        The model folder, with the best model of the last phase.

    Raises
    ------
    ValueError
        The folder holds a training already, the configuration differs from the one to resume, or
        the data cannot be used.
    FileNotFoundError
        A manifest or an audio file is missing.
    Interrupted
        The user stopped it; the last checkpoint is written.
    """
    out = Path(out)
    _check_together(model, training)
    with processes(device) as group:
        train_set = read_manifest(data.train)
        speakers = sorted({u.speaker for u in train_set})
        valid_set = _valid_set(data.valid, speakers, training.valid_utterances)
        settings = {
            "model": asdict(model),
            "data": asdict(data),
            "training": asdict(training),
            "fingerprint": _fingerprint(train_set),
        }
        settings = json.loads(json.dumps(settings))  # tuples become lists, as they will be read
        resume = resumes(out, settings, resume, overwrite)
        if resume:
            _refuse_to_drop_enrolled(out, speakers)
        torch.manual_seed(training.seed)
        vqvae = VQVAE(model, speakers).to(group.device)
        if training.codes_from is not None:
            _take_codes(vqvae, training.codes_from)
        objective = None
        if training.spectral.steps:
            objective = SpectralObjective(vqvae, training.spectral).to(group.device)
        waveforms = Waveforms(train_set, model.sample_rate, progress=progress and group.first)
        held_out = Waveforms(valid_set, model.sample_rate)
        units = None
        if _learns_units(training, out, resume):
            show = progress and group.first
            units = find_units(waveforms, held_out, model.codebook_size, training.seed, show)
        phases = _phases(vqvae, objective, waveforms, held_out, units, training, group)

        group.wait()  # no process has anything against it: only now may one delete
        if group.first and not resume:
            _clear(out)
        group.wait()

        facts = Facts(
            utterances=len(train_set),
            minutes=waveforms.seconds / 60,
            device=_device_name(group.device),
            processes=group.world_size,
        )
        config = {key: settings[key] for key in ("model", "data", "training")}
        config["speech_level"] = speech_level(waveforms, speakers)

        def publish(state: State) -> None:
            if state.phase != phases[-1].name:
                return  # a model whose decoder has yet to learn would be taken for a finished one
            save_model(out, vqvae, config, model_card(vqvae, data, training, facts, state))

        modules = {"model": vqvae} if objective is None else {"model": vqvae, "spectral": objective}
        loop = Loop(phases, modules, training, settings, out, group, publish, progress)
        state = loop.run(resume)
        if (out / BEST).exists():
            load_weights(out / BEST, modules)
        if group.first:
            publish(state)  # once more, with the time that the whole training took
        group.wait()
    return out


def _phases(
    model: VQVAE,
    objective: SpectralObjective | None,
    waveforms: Waveforms,
    held_out: Waveforms,
    units: tuple[Labels, Labels] | None,
    training: TrainingConfig,
    group: Processes,
) -> list[Phase]:
    def batches(
        name: str,
        phase: PhaseConfig,
        steps: int,
        margin: int = 0,
        labels: Labels | None = None,
    ) -> SegmentBatches:
        try:
            return SegmentBatches(
                waveforms,
                model.speakers,
                seed=training.seed,
                phase=name,
                batch_size=phase.batch_size,
                segment_length=phase.segment_length,
                hop_length=model.hop_length,
                steps=steps,
                margin=margin * model.hop_length,
                labels=labels,
                rank=group.rank,
                world_size=group.world_size,
            )
        except ValueError as error:
            section = SPECTRAL if isinstance(phase, SpectralPhaseConfig) else LIKELIHOOD
            raise ValueError(f"training.{section}.{error}") from error

    def phase(
        name: str,
        module: nn.Module,
        parameters: list[nn.Parameter],
        config: PhaseConfig,
        validate: Callable[[Callable[[], bool]], Validation | None],
        before_step: Callable[[int], None],
        margin: int = 0,
        labels: Labels | None = None,
    ) -> Phase:
        segments = batches(name, config, config.steps, margin, labels)
        return Phase(
            name,
            module,
            parameters,
            config,
            segments,
            segments.samples_per_step,
            segments.steps_per_epoch,
            model.config.codebook_size,
            validate,
            before_step,
            # What is in memory is cropped faster than a batch is passed between processes
            workers=0 if waveforms.cached else training.workers,
        )

    def first_batches(
        name: str, config: PhaseConfig, samples: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Waveforms (B, T) and speakers (B,) of this process, `samples` at least over all."""
        steps = math.ceil(samples / batches(name, config, 1).samples_per_step)
        segments = batches(name, config, steps)
        return ([x.to(group.device) for x in segments[step]] for step in range(steps))

    def first_speech(name: str, config: PhaseConfig) -> Tensor:
        """Some minutes of speech, the same in all processes: (B, T)."""
        samples = min(waveforms.seconds, SECONDS_FOR_SCALES) * model.sample_rate
        first = first_batches(name, config, int(samples))
        return torch.cat([group.gather(x) for x, _ in first])

    @torch.no_grad()
    def first_latents(name: str, config: PhaseConfig) -> Tensor:
        K = model.config.codebook_size
        available = int(waveforms.seconds * model.frame_rate)
        wanted = max(K, min(LATENTS_PER_CODE * K, available))
        first = first_batches(f"{name} codebook", config, wanted * model.hop_length)
        found = (model.latents(x, voice_of(voices, speaker)) for x, speaker in first)
        return torch.cat([group.gather(z).flatten(0, 1) for z in found])

    def tell(what: str, *values: object) -> None:
        """Say what takes long, at first, where no step shows that it goes on."""
        if group.first:
            logger.info(what, *values)

    bfloat16 = use_bfloat16(training.precision, group.device)
    units, held_out_units = units or (None, None)
    voices = None
    if model.hears_voices:
        voices = SpeakerCepstra(model.encoder.frames, len(model.speakers)).to(group.device)

    @cache  # once, whichever phase is the first; a resume finds them anew
    def hear_voices() -> None:
        if voices is None:
            return
        tell("comparing the voices of %d speakers", len(model.speakers))
        if training.codes_from is None:
            fit_speakers(voices, waveforms, model.speakers, training.seed)
        else:  # what is alike is settled by the speakers that the codes were learned from
            hear_speakers(voices, model, waveforms)

    @cache
    def of_speakers() -> Tensor:
        return find_dialects(model, waveforms, voices)

    @cache
    def dialects(share: float) -> Tensor:
        """The speakers', and as often all codes as the rest of the segments wants it."""
        own = of_speakers()
        count = round(len(own) * (1 / share - 1))
        return torch.cat([own, own.new_ones(count, own.shape[1])])

    validator = Validator(
        model, held_out, group, bfloat16, training.samples, held_out_units, voices
    )
    phases = []
    if objective is not None:
        config = training.spectral
        of_latents, of_codes = (SpectralPhase(objective, q, voices) for q in (False, True))

        def to_cluster() -> Tensor:
            latents = first_latents(SPECTRAL, config)
            K = model.config.codebook_size
            tell("starting %d codes at clusters of %d latents", K, len(latents))
            return latents

        def start_clusters() -> None:
            model.envelope.fit(first_speech("envelope", config))
            start_at_clusters(model, to_cluster())
            if voices is not None:
                model.encoder.know(voices, model.quantizer.codebook)

        def start_latents(step: int) -> None:
            hear_voices()
            if step == 0 and objective.target is None:
                start_clusters()
            elif step == 0 and isinstance(objective.target, CepstralTarget):
                tell("comparing the voices of %d speakers", len(model.speakers))
                target, seed = objective.target, training.seed
                alike = fit_speakers(target.cepstra, waveforms, model.speakers, seed)
                fit_sounds(target.sounds, alike, seed)

        def start_codes(step: int) -> None:
            hear_voices()
            if step == 0 and isinstance(objective.target, UnitTarget):
                model.envelope.fit(first_speech("envelope", config))
                model.quantizer.start(objective.target.vectors.weight.detach().clone())
            elif step == 0 and objective.target is None and config.unquantized_steps:
                model.quantizer.initialise(to_cluster())  # the envelope knows these latents
            elif step == 0:
                start_clusters()
            if config.dialects:
                of_codes.dialects = dialects(config.dialects)

        for name, half, steps in (
            (LATENTS, of_latents, config.unquantized_steps),
            (SPECTRAL, of_codes, config.steps - config.unquantized_steps),
        ):
            if steps:
                phases.append(
                    phase(
                        name,
                        half,
                        half.learned,
                        replace(config, steps=steps, unquantized_steps=0),
                        partial(validator.spectral, objective, half.quantize),
                        start_codes if half.quantize else start_latents,
                        labels=None if half.quantize else units,
                    )
                )
    if training.likelihood.steps:

        def start_decoder(step: int) -> None:
            hear_voices()
            if training.dialects:
                module.dialects = dialects(training.dialects)
            if step:
                return
            if objective is None and training.codes_from is None:
                model.quantizer.initialise(first_latents(LIKELIHOOD, training.likelihood))
            if model.envelope is not None:
                model.conditioner.load_state_dict(model.envelope.conditioner.state_dict())
            if objective is not None:  # else the envelope is another model's, and stays as it is
                model.envelope.shrink(training.spectral.shrinkage)
            if model.subbands.bands > 1:
                model.subbands.fit(first_speech("scales", training.likelihood))

        if training.freeze_codes:
            module = FrozenCodesPhase(model, training.history_noise, voices)
            parameters = module.parameters_of_decoder
        else:
            module = LikelihoodPhase(model, training.history_noise)
            parameters = list(module.parameters())
        phases.append(
            phase(
                LIKELIHOOD,
                module,
                parameters,
                training.likelihood,
                validator.likelihood,
                start_decoder,
                MARGIN if training.freeze_codes else 0,
            )
        )
    return phases


def _check_together(model: VQVAEConfig, training: TrainingConfig) -> None:
    """Refuse a model and a training that do not suit each other."""
    if training.spectral.steps and not model.envelope_bands:
        raise ValueError(
            "model.envelope_bands: the spectral phase learns the envelope; give it some, such as "
            "80, or set training.spectral.steps to 0"
        )
    if model.envelope_bands and not training.spectral.steps and training.codes_from is None:
        raise ValueError(
            "model.envelope_bands: the envelope is learned in the spectral phase; give that some "
            "steps, or set model.envelope_bands to 0"
        )
    if model.encoder_input != "cepstra":
        return
    if not training.freeze_codes:
        raise ValueError(
            "training.freeze_codes: an encoder of cepstra learns in the spectral phase or not at "
            "all; set it"
        )
    learns, steps = model.encoder_residual_layers, training.spectral.unquantized_steps
    if training.spectral.steps and steps and not learns:
        raise ValueError(
            "training.spectral.unquantized_steps: in these the encoder learns, and one of cepstra "
            "without model.encoder_residual_layers has nothing to learn; set them to 0"
        )
    if training.spectral.steps and learns and not steps:
        raise ValueError(
            "training.spectral.unquantized_steps: in these the encoder's residual layers learn; "
            "give some, or set model.encoder_residual_layers to 0"
        )
    if not training.spectral.steps and training.codes_from is None:
        raise ValueError(
            "training.spectral.steps: an encoder of cepstra gets its codebook in the spectral "
            "phase, or from another model by codes_from"
        )


def _take_codes(model: VQVAE, folder: str) -> None:
    """Give the model the encoder and the codebook of another, whose codes are then its own."""
    other = load_model(folder)
    for name in _OF_CODES:
        its, ours = getattr(other.config, name), getattr(model.config, name)
        if its != ours:
            raise ValueError(
                f"model.{name}: {ours} here, but {its} in {folder}, whose codes are to be taken"
            )
    model.encoder.load_state_dict(other.encoder.state_dict())
    model.quantizer.load_state_dict(other.quantizer.state_dict())
    if model.envelope is None:
        return
    if other.speakers != model.speakers:
        raise ValueError(
            f"model.envelope_bands: {folder} has learned the envelopes of other speakers; set it "
            "to 0"
        )
    for name in _OF_ENVELOPE:
        its, ours = getattr(other.config, name), getattr(model.config, name)
        if its != ours:
            raise ValueError(
                f"model.{name}: {ours} here, but {its} in {folder}, whose envelope is to be taken; "
                "take that, or set model.envelope_bands to 0"
            )
    model.envelope.load_state_dict(other.envelope.state_dict())


def _learns_units(training: TrainingConfig, out: Path, resume: bool) -> bool:
    """Whether there are steps to come in which the encoder learns units."""
    if not training.spectral.steps or training.spectral.target != "units":
        return False
    return not resume or read_header(out / LAST)[0].phase == LATENTS


def _valid_set(path: str, speakers: list[str], most: int) -> list[Utterance]:
    """Utterances to validate on, of known speakers and spread evenly over the manifest."""
    known = read_known(path, speakers, "the training set")
    places = np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int)
    return [known[i] for i in places]


def _fingerprint(utterances: list[Utterance]) -> str:
    """Twelve digits that change when the training set does."""
    lines = "\n".join(f"{u.id} {u.speaker} {u.start:.6f} {u.duration:.6f}" for u in utterances)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def resumes(out: Path, settings: dict, resume: bool, overwrite: bool) -> bool:
    """Whether there is a training to resume; refuse what would be lost."""
    if resume and (out / LAST).exists():
        _same_settings(read_header(out / LAST)[1], settings)
        return True
    if resume and not (out / WEIGHTS).exists():
        logger.info("%s holds no checkpoint yet; starting from the beginning", out)
    elif resume and not overwrite:
        raise ValueError(
            f"{out}: holds a model, but no {LAST} to resume from; --overwrite starts again, and "
            "another --out leaves it alone"
        )
    elif not overwrite and any((out / name).exists() for name in (WEIGHTS, metrics.FILE, FOLDER)):
        raise ValueError(
            f"{out}: holds a training already; --resume continues it, --overwrite deletes it, "
            "and another --out leaves it alone"
        )
    return False


def _refuse_to_drop_enrolled(out: Path, speakers: list[str]) -> None:
    """Refuse to write a model over one that has got more speakers since."""
    if not (out / WEIGHTS).exists():
        return
    enrolled = [name for name in read_speakers(out) if name not in speakers]
    if enrolled:
        raise ValueError(
            f"{out}: has learned {', '.join(enrolled)} by speechvq-enroll, whom a resume would "
            f"drop; copy the folder, and delete {WEIGHTS} in this one to go on"
        )


def _clear(out: Path) -> None:
    """Delete what a training leaves, and nothing else that is in the folder."""
    for name in (WEIGHTS, CONFIG, SPEAKERS, CARD, metrics.FILE):
        (out / name).unlink(missing_ok=True)
    for name in (FOLDER, metrics.TENSORBOARD, metrics.SOUNDS):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def _same_settings(saved: dict, now: dict, prefix: str = "") -> None:
    for key in sorted(saved.keys() | now.keys()):
        name = f"{prefix}{key}"
        one, other = saved.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            _same_settings(one, other, f"{name}.")
        elif one != other and name not in _FREE:
            if name == "fingerprint":
                raise ValueError(
                    "data.train: the manifest has changed since this training started; restore it, "
                    "or start another training with another --out"
                )
            raise ValueError(
                f"{name}: this training was started with {one!r}, not {other!r}; resume it as it "
                "was, or start another training with another --out"
            )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
