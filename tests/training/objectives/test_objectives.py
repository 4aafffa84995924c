"""Each objective: the loss falls, what it says is trained and nothing else, and oracles agree."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speechvq.config import (
    CepstraStage,
    DecoderStage,
    LabelsStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    PerturbationConfig,
    QuantizerConfig,
    StageConfig,
)
from speechvq.data.frame_labels import Labels
from speechvq.features.perturbation import source_length
from speechvq.model import Model
from speechvq.training.objectives import build_objective

FAST = {"batch_size": 4, "segment_length": 512, "learning_rate": 1e-2}


def parts(changed: set[str]) -> set[str]:
    """The parts of a model in which something changed."""
    known = ("encoder", "quantizer", "decoder", "predictor", "vectors", "transforms", "mapping")
    return {part for part in known if any(part in name.split(".") for name in changed)}


def falls(losses: list[float], share: float) -> bool:
    return np.mean(losses[-5:]) < share * np.mean(losses[:5])


class TestLikelihood:
    def test_encoder_codebook_and_decoder_learn(self, model, run):
        objective = build_objective(LikelihoodStage(**FAST), model)
        losses, changed = run(objective, objective.config, 40)
        assert falls(losses, 0.95)
        assert parts(changed) == {"encoder", "quantizer", "decoder"}

    def test_it_is_equation_3(self, model, corpus, evaluate):
        objective = build_objective(LikelihoodStage(), model)
        model.vqvae.quantizer.initialise(torch.randn(64, 4))
        total = samples = 0.0
        for out, batch in zip(evaluate(objective), corpus.held_out_batches(), strict=True):
            x, speaker = batch.waveform, batch.speaker
            padded = F.pad(x, (0, -x.shape[1] % 16))
            z_e = model.vqvae.encoder(padded)
            e = model.vqvae.quantizer.codebook[
                torch.cdist(z_e, model.vqvae.quantizer.codebook).argmin(-1)
            ]
            log_p = model.vqvae.decoder.log_likelihood(padded, e, speaker)[:, : x.shape[1]]
            expected = -log_p.mean() + 0.25 * (z_e - e).square().mean()  # EMA: no codebook loss
            assert out.total.item() == pytest.approx(expected.item(), rel=1e-5)
            assert out.score.item() == pytest.approx(-log_p.mean().item() / math.log(2), rel=1e-5)
            assert out.weight == x.shape[1]
            total, samples = total + float(out.score) * out.weight, samples + out.weight
        assert 4 < total / samples < 12

    def test_a_codebook_that_has_started_is_kept(self, model, corpus):
        objective = build_objective(LikelihoodStage(**FAST), model)
        codebook = torch.randn(8, 4)
        model.vqvae.quantizer.start(codebook)
        objective.start(corpus)
        assert torch.equal(model.vqvae.quantizer.codebook, codebook)


class TestDecoder:
    @pytest.mark.parametrize("update", ["ema", "loss"])
    def test_codes_stay(self, tiny_config, run, corpus, update, model):
        quantizer = replace(tiny_config.quantizer, update=update)
        model = Model(replace(tiny_config, quantizer=quantizer), ["p225", "p226"])
        model.vqvae.quantizer.initialise(torch.randn(64, 4))
        objective = build_objective(DecoderStage(**FAST, input_noise=2.0), model)
        losses, changed = run(objective, objective.config, 30)
        assert falls(losses, 0.97)
        assert parts(changed) == {"decoder"}

    def test_margins_give_context_and_are_not_scored(self, model, corpus):
        """The codes within are those of the whole, and the loss is that of the inner samples."""
        objective = build_objective(DecoderStage(**FAST), model).train()
        batch = corpus.prepare(corpus.batches(objective.config, margin=objective.margin)[0])
        out = objective(batch)
        whole = model.encode(batch.waveform)
        inner = whole[:, objective.margin : -objective.margin]
        assert torch.equal(out.codes, inner)
        quantized = model.vqvae.quantizer.lookup(whole)
        log_p = model.vqvae.decoder.log_likelihood(
            batch.waveform, quantized, batch.speaker, objective.margin
        )
        assert log_p.shape[1] == 512
        assert out.total.item() == pytest.approx(-log_p.mean().item(), rel=1e-6)

    def test_the_first_band_weighs_more_in_training_alone(self, tiny_config, corpus):
        decoder = replace(tiny_config.decoder, subbands=4)
        model = Model(replace(tiny_config, decoder=decoder), ["p225", "p226"])
        stage = DecoderStage(**FAST, first_band_weight=6.0)
        objective = build_objective(stage, model).train()
        batch = corpus.prepare(corpus.batches(stage, margin=objective.margin)[0])
        out = objective(batch)
        nll = objective.nll(batch, objective.margin)[0].unflatten(1, (-1, 4)).mean((0, 1))
        expected = (6 * nll[0] + nll[1:].sum()) / 9
        assert out.total.item() == pytest.approx(expected.item(), rel=1e-5)
        bits = out.terms["bits_per_sample"].item() * math.log(2)
        assert bits == pytest.approx(nll.mean().item(), rel=1e-5)
        assert abs(expected - nll.mean()) > 1e-3
        whole = objective.eval()(batch)
        assert whole.total.item() == pytest.approx(objective.nll(batch, 0)[0].mean().item())

    def test_one_band_has_no_weight(self, tiny_config):
        with pytest.raises(ValueError, match="first_band_weight: 6, but model.decoder has one"):
            DecoderStage(first_band_weight=6.0).check(tiny_config)

    def test_the_conditioner_begins_as_the_mel_predictors(self, model, corpus):
        build_objective(DecoderStage(), model).start(corpus)
        ours = model.vqvae.decoder.conditioner.state_dict()
        for name, x in model.mel_predictor.conditioner.state_dict().items():
            assert torch.equal(ours[name], x)

    def test_the_elbo(self, model, evaluate):
        objective = build_objective(DecoderStage(), model)
        out = evaluate(objective)[0]
        bits = out.total / math.log(2)
        assert out.terms["bits_per_sample"] == bits
        total = bits * 8000 + objective.metrics()["bitrate"]
        assert out.terms["total_bits_per_second"].item() == pytest.approx(total.item())
        assert objective.metrics() == {"kl_bits_per_code": 3.0, "bitrate": 1500.0}


class TestMel:
    @pytest.mark.parametrize("update", ["ema", "loss"])
    def test_all_learns_through_the_quantizer(
        self, tiny_config, waveforms, update, run, corpus, model
    ):
        quantizer = replace(tiny_config.quantizer, update=update)
        model.vqvae.quantizer = type(model.vqvae.quantizer)(quantizer)
        objective = build_objective(MelStage(**FAST), model)
        losses, changed = run(objective, objective.config, 40)
        assert falls(losses, 0.95)
        assert parts(changed) == {"encoder", "quantizer", "predictor"}

    def test_a_warm_up_has_no_codes(self, model, run):
        objective = build_objective(MelStage(**FAST, quantization="none"), model)
        losses, changed = run(objective, objective.config, 40)
        assert falls(losses, 0.95)
        assert parts(changed) == {"encoder", "predictor"}
        assert not model.vqvae.quantizer.started

    def test_an_encoder_names_what_learns_of_it(self, model):
        output = list(model.vqvae.encoder.output.parameters())
        objective = build_objective(MelStage(**FAST, quantization="none"), model)
        predictor = list(model.mel_predictor.parameters())
        assert len(objective.trained()) > len(output) + len(predictor)
        model.vqvae.encoder.trained = lambda: output
        found = objective.trained()
        assert [id(p) for p in found] == [id(p) for p in output + predictor]

    def test_it_is_equation_3_with_a_laplace_likelihood(self, model, corpus, evaluate):
        objective = build_objective(MelStage(**FAST), model)
        objective.start(corpus)
        for out, batch in zip(evaluate(objective), corpus.held_out_batches(), strict=True):
            x = batch.waveform
            z_e = model.vqvae.encoder(x)
            e = model.vqvae.quantizer.lookup(model.vqvae.quantizer.nearest(z_e))
            predictor = model.mel_predictor
            mel = predictor.mel(F.pad(x, (0, -x.shape[1] % 16)))
            d = (predictor(e, batch.speaker) - mel) / predictor.std
            in_time, in_frequency = d[:, 1:] - d[:, :-1], d[:, :, 1:] - d[:, :, :-1]
            error = sum(x.abs().mean() for x in (d, in_time, in_frequency))
            expected = error + 0.25 * (z_e - e).square().mean()
            assert out.total.item() == pytest.approx(expected.item(), rel=1e-4)
            assert out.score.item() == pytest.approx(d.abs().mean().item(), rel=1e-4)

    def test_the_target_is_not_perturbed(self, model, corpus):
        objective = build_objective(MelStage(**FAST, quantization="none"), model).eval()
        perturbation = PerturbationConfig(gain=20.0, speed=0.2)
        config = replace(objective.config, segment_length=3200)
        batch = corpus.batches(config, perturbation=perturbation)[0]
        longer = source_length(3200, perturbation)
        plain = corpus.batches(replace(config, segment_length=longer))[0]
        assert torch.equal(batch.waveform, plain.waveform)
        assert batch.inputs.shape[1] == 3200
        assert (batch.speed != 1).any()
        out = objective(corpus.prepare(batch))
        expected = model.mel_predictor.error(
            plain.waveform, model.vqvae.encoder(batch.inputs), plain.speaker, batch.speed
        )
        assert out.score.item() == pytest.approx(expected.abs().mean().item(), rel=1e-6)


class TestMelPredictor:
    def test_only_the_predictor_learns(self, model, run):
        objective = build_objective(MelPredictorStage(**FAST), model)
        losses, changed = run(objective, objective.config, 40)
        assert falls(losses, 0.95)
        assert parts(changed) == {"predictor"}

    def test_codes_are_of_the_perturbed_segments(self, model, corpus):
        perturbation = PerturbationConfig(gain=20.0, speed=0.2)
        config = MelPredictorStage(**FAST | {"segment_length": 3200}, perturbation=perturbation)
        objective = build_objective(config, model)
        assert not objective.reads_codes and build_objective(MelPredictorStage(), model).reads_codes
        objective.start(corpus)
        batch = corpus.batches(config, perturbation=perturbation)[0]
        out = objective.eval()(corpus.prepare(batch))
        codes = model.vqvae.encode(batch.inputs)
        assert torch.equal(out.codes, codes)
        quantized = model.vqvae.quantizer.lookup(codes)
        wave, speaker = batch.waveform, batch.speaker
        error = model.mel_predictor.error(wave, quantized, speaker, batch.speed)
        expected = error.abs().mean()
        assert out.total.item() == pytest.approx(expected.item(), rel=1e-6)

    def test_encoder_and_quantizer_stay_in_eval_mode(self, model):
        build_objective(MelPredictorStage(**FAST), model).train()
        assert model.mel_predictor.training
        assert not model.vqvae.encoder.training and not model.vqvae.quantizer.training

    def test_a_codebook_is_kept(self, model, corpus):
        codebook = torch.randn(8, 4)
        model.vqvae.quantizer.start(codebook)
        build_objective(MelPredictorStage(**FAST, codebook="keep"), model).start(corpus)
        assert torch.equal(model.vqvae.quantizer.codebook, codebook)


class TestCepstra:
    def test_only_the_encoder_learns(self, model, run):
        objective = build_objective(CepstraStage(**FAST), model)
        losses, changed = run(objective, objective.config, 150)
        assert falls(losses, 0.95)
        assert parts(changed) == {"encoder"}

    def test_the_target_is_standardised_and_speakers_are_mapped(self, model, corpus):
        objective = build_objective(CepstraStage(**FAST), model)
        objective.start(corpus)
        batch = corpus.batches(replace(objective.config, batch_size=32))[0]
        cepstra = objective.mfcc(batch.waveform, objective.transforms(batch.speaker))
        target = objective.mapping(cepstra, batch.speaker)
        assert target.mean().abs() < 0.3 and 0.5 < target.std() < 1.5
        assert (target - cepstra).abs().max() > 0.01
        with torch.no_grad():
            objective.eval()
            latents = model.vqvae.encoder(batch.waveform)
            out = objective(corpus.prepare(batch))
        assert out.total.item() == pytest.approx(F.mse_loss(latents, target).item(), rel=1e-5)
        assert out.codes is None


class TestLabels:
    @pytest.fixture
    def labels(self, waveforms):
        rng = np.random.default_rng(0)
        per_utterance = [rng.integers(8, size=-(-n // 16)) for n in waveforms.lengths]
        return Labels(per_utterance, 8000 / 16, 8000)

    def test_encoder_and_vectors_learn(self, model, run, labels):
        objective = build_objective(LabelsStage(**FAST), model)
        losses, changed = run(objective, objective.config, 60, labels)
        assert falls(losses, 0.95)
        assert parts(changed) == {"encoder", "vectors"}

    def test_the_vectors_become_the_codebook(self, model):
        objective = build_objective(LabelsStage(), model)
        with torch.no_grad():
            objective.finish()
        assert torch.equal(model.vqvae.quantizer.codebook, objective.vectors.weight)
        assert model.vqvae.quantizer.started

    def test_it_is_the_cross_entropy_of_distances(self, model, corpus, labels):
        objective = build_objective(LabelsStage(**FAST, distance_weight=0.5), model).eval()
        batch = corpus.prepare(corpus.batches(objective.config, labels=labels)[0])
        z, e = model.vqvae.encoder(batch.waveform), objective.vectors.weight
        distance = torch.cdist(z, e).square()
        known = batch.labels >= 0
        nll = F.cross_entropy(-distance[known], batch.labels[known])
        own = distance[known].gather(1, batch.labels[known][:, None]).mean()
        expected = nll + 0.5 * own
        assert objective(batch).total.item() == pytest.approx(expected.item(), rel=1e-4)

    def test_labels_of_a_perturbed_input_are_those_of_the_speech(self, model, corpus, labels):
        perturbation = PerturbationConfig(gain=20.0, low_pass=0.5)
        objective = build_objective(LabelsStage(**FAST, perturbation=perturbation), model).eval()
        batches = corpus.batches(objective.config, labels=labels, perturbation=perturbation)
        batch = batches[0]
        N = batch.inputs.shape[1] // model.hop_length
        assert not torch.equal(batch.inputs, batch.waveform[:, : batch.inputs.shape[1]])
        for row, (utterance, start) in zip(batch.labels, batches.places(0), strict=True):
            expected = labels.of_codes(utterance, start, N, model.hop_length)
            assert torch.equal(row, torch.from_numpy(expected))
        heard = batch._replace(waveform=batch.inputs, inputs=None)
        out, expected = (objective(corpus.prepare(x)).total for x in (batch, heard))
        assert out.item() == expected.item() > 0

    def test_a_segment_without_labels_has_no_loss(self, model, corpus, labels):
        objective = build_objective(LabelsStage(**FAST), model)
        batch = corpus.prepare(corpus.batches(objective.config, labels=labels)[0])
        nothing = batch._replace(labels=torch.full_like(batch.labels, Labels.NONE))
        assert objective(nothing).total == 0


def test_a_stage_that_nothing_builds(model):
    class Unknown(StageConfig):
        label = "unknown"

    with pytest.raises(ValueError, match=r"^stages\.unknown: nothing builds an objective"):
        build_objective(Unknown(), model)


def test_quantizer_settings_are_used(tiny_config):
    model = Model(replace(tiny_config, quantizer=QuantizerConfig(8, 4, beta=0.7)), ["a"])
    assert model.vqvae.quantizer.beta == 0.7


@pytest.mark.parametrize(
    "stage", [CepstraStage(), MelStage(), MelStage(quantization="none"), LabelsStage()]
)
def test_an_encoder_names_what_learns(model, stage):
    encoder = model.vqvae.encoder
    objective = build_objective(stage, model)
    everything = {id(p) for p in objective.trained()}
    assert {id(p) for p in encoder.parameters()} <= everything
    encoder.trained = lambda: list(encoder.output.parameters())
    named = {id(p) for p in objective.trained()}
    kept = {id(p) for p in encoder.parameters()} - {id(p) for p in encoder.output.parameters()}
    assert kept and everything - named == kept
