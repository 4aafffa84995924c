"""The page of the demo, in Gradio.

What the page does when a button is pressed are generators: each yield goes to the browser at once,
and Gradio closes them when the visitor presses "Stop" or leaves, which ends the drawing.
"""

from __future__ import annotations

import contextlib
import html
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from speechvq import audio
from speechvq.demo.drawing import in_blocks, new_speech, read_speech, wav_bytes
from speechvq.demo.picture import SECONDS, codes_png
from speechvq.demo.voices import ME, Voices
from speechvq.model import Model
from speechvq.model_folder import load_model
from speechvq.models.prior import Prior
from speechvq.sampling import SamplingOptions, convert_source, cores, encode_source

FIRST_SPEAKER = "p225"
"""Who is chosen at first, if the model has this speaker; of the package's, one who is clear."""
MOST_SPEAKERS = 4
"""Speakers of one conversion."""
LONGEST = 20
"""Seconds of new speech."""
QUEUE = 64
"""Visitors who wait at a time; the next one is told to come back."""
KEPT = 3600
"""Seconds that files which came or were drawn are kept."""

INTRODUCTION = """\
# speechvq
Speech becomes discrete codes; a decoder draws the codes as the speech of another person, sample by
sample, while you listen.
"""
WARNING = """\
Speech in someone's voice can deceive. Ask the speaker, and say that the speech is synthetic. The
files here are kept on the machine that shows this page, for about an hour.
"""
NEW = """\
New speech from nothing: codes are drawn from a prior, and speech from the codes. It has phones in a
plausible order, but no words.
"""
VOICE = """\
Half a minute to a minute of your speech serves well, recorded in a quiet room. It is learned in two
to three minutes. Only you can use the voice, and it is gone when you leave or reload this page.
"""
CSS = """
footer { display: none !important; }
.gradio-container { width: 100%; max-width: 60rem !important; margin: auto; }
figure { margin: 0; }
figure img { width: 100%; height: auto; }
progress { width: 100%; }
"""

Updates = dict[Any, Any]
"""What a component is to show, by component."""


def first_speaker(names: list[str]) -> str:
    """Who of a model's speakers is chosen at first."""
    return FIRST_SPEAKER if FIRST_SPEAKER in names else names[0]


class Page:
    """The page, and what it does.

    Parameters
    ----------
    model : Model
        In eval mode.
    prior : Prior, optional
        Without it there is no unconditional speech.
    voices : Voices
        Of the visitors.
    files : Path
        Folder for files that are drawn, which Gradio serves.
    most_minutes : float
        Of a recording.
    device : str
        Of the models with visitors' voices.

    Attributes
    ----------
    blocks : gradio.Blocks
    """

    def __init__(
        self,
        model: Model,
        prior: Prior | None,
        voices: Voices,
        files: Path,
        most_minutes: float,
        device: str = "cpu",
    ):
        self._model, self._prior, self._voices = model, prior, voices
        self._files, self._most_minutes, self._device = files, most_minutes, device
        self._folders: dict[str, tempfile.TemporaryDirectory[str]] = {}
        own = getattr(model.config.decoder, "top_p", 1.0)
        with gr.Blocks(
            title="speechvq", analytics_enabled=False, delete_cache=(KEPT // 6, KEPT)
        ) as self.blocks:
            gr.Markdown(INTRODUCTION)
            with gr.Tabs():
                with gr.Tab("Convert"):
                    self._build_convert()
                with gr.Tab("Draw", visible=prior is not None):
                    self._build_generate()
                with gr.Tab("Enroll"):
                    self._build_enroll()
            with gr.Accordion("Sampling", open=False), gr.Row():
                self._seed = gr.Number(0, label="seed: another one draws again", precision=0)
                self._top_p = gr.Slider(
                    0.1, 1, own, step=0.05, label="top-p of conversions: below 1 less hoarse"
                )
            self._build_results()
            gr.Markdown(WARNING)
            self._connect()
        self.blocks.queue(max_size=QUEUE)

    def _build_convert(self) -> None:
        self._recording = gr.Audio(
            label=f"speech: record or drop a file, {self._most_minutes:g} minutes at most",
            sources=["upload", "microphone"],
            type="filepath",
            buttons=[],
        )
        names = self._model.speakers
        self._speakers = gr.Dropdown(
            names,
            value=[first_speaker(names)],
            multiselect=True,
            max_choices=MOST_SPEAKERS,
            label=f"speakers, up to {MOST_SPEAKERS}",
        )
        with gr.Row():
            self._convert = gr.Button("Convert", variant="primary")
            self._stop_convert = gr.Button("Stop")

    def _build_generate(self) -> None:
        names = self._model.speakers
        gr.Markdown(NEW)
        self._speaker = gr.Dropdown(names, value=first_speaker(names), label="speaker")
        self._seconds = gr.Slider(1, LONGEST, 5, step=1, label="seconds")
        with gr.Row():
            self._generate = gr.Button("Draw", variant="primary")
            self._stop_generate = gr.Button("Stop")

    def _build_enroll(self) -> None:
        gr.Markdown(VOICE)
        self._own = gr.Audio(
            label=f"your speech, {self._most_minutes:g} minutes at most",
            sources=["microphone", "upload"],
            type="filepath",
            buttons=[],
        )
        with gr.Row():
            self._enroll = gr.Button("Enroll", variant="primary")
            self._stop_enroll = gr.Button("Stop")
        self._enrolled = gr.HTML()

    def _build_results(self) -> None:
        self._status = gr.HTML()
        self._live = gr.Audio(
            label="while it is drawn",
            streaming=True,
            autoplay=True,
            interactive=False,
            visible=False,
            buttons=[],
        )
        self._source = gr.HTML(visible=False)
        self._slots = [
            (
                gr.Audio(visible=False, interactive=False, buttons=["download"]),
                gr.HTML(visible=False),
            )
            for _ in range(MOST_SPEAKERS)
        ]

    def _connect(self) -> None:
        """Say what the buttons do."""
        results = [self._status, self._live, self._source, *(c for s in self._slots for c in s)]
        shared: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": cores()}
        shown = {"show_progress": "minimal", "show_progress_on": self._status}
        for button, stop, work, inputs, status, options in (
            (
                self._convert, self._stop_convert, self.convert,
                [self._recording, self._speakers, self._seed, self._top_p],
                self._status, shared | shown,
            ),
            (
                self._generate, self._stop_generate, self.generate,
                [self._speaker, self._seconds, self._seed], self._status, shared | shown,
            ),
            (
                self._enroll, self._stop_enroll, self.enroll,
                [self._own], self._enrolled, {"concurrency_limit": 1, "show_progress": "minimal"},
            ),
        ):  # fmt: skip
            outputs = (
                [status, self._speakers, self._speaker] if status is self._enrolled else results
            )
            event = button.click(work, inputs, outputs, api_name=work.__name__, **options)
            stop.click(
                lambda: _said("stopped"), None, status, cancels=[event], api_visibility="private"
            )
        self.blocks.unload(self._left)

    def convert(
        self,
        recording: str | None,
        speakers: list[str],
        seed: float,
        top_p: float,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Convert a recording to speakers, one after the other."""
        with _told(recording):
            path = _given(recording)
            if not 0 < len(speakers) <= MOST_SPEAKERS:
                raise ValueError(f"speakers: pick one to {MOST_SPEAKERS}, not {len(speakers)}")
            models = [self._model_with(speaker, request) for speaker in speakers]
            options = SamplingOptions(seed=int(seed or 0), top_p=top_p)
            yield self._cleared("encoding")
            rate = self._model.sample_rate
            waveform = read_speech(path, rate, self._most_minutes)
            source = encode_source(self._model, [waveform])
            yield {self._source: self._figure(path.name, waveform, source.codes)}
            for i, (speaker, model) in enumerate(zip(speakers, models, strict=True)):
                chunks = convert_source(model, source, speaker, options)
                out = self._new_file(f"{path.stem}-{speaker}.wav", request)
                yield from self._drawn(i, out, speaker, chunks, source.samples, source.codes)
            yield {self._status: _said("done")}

    def generate(
        self, speaker: str, seconds: float, seed: float, request: gr.Request
    ) -> Iterator[Updates]:
        """Draw codes from the prior, and speech from the codes."""
        with _told(None):
            if self._prior is None:
                raise ValueError("this model has no prior; speechvq-train prior makes one")
            model = self._model_with(speaker, request)
            yield self._cleared("drawing codes")
            codes, chunks = new_speech(model, self._prior, speaker, seconds, int(seed or 0))
            samples = len(codes) * model.hop_length
            out = self._new_file(f"sample-{speaker}-{int(seed or 0)}.wav", request)
            yield from self._drawn(0, out, speaker, chunks, samples, codes)
            yield {self._status: _said("done")}

    def enroll(self, recording: str | None, request: gr.Request) -> Iterator[Updates]:
        """Learn a visitor's voice, and offer it to this visitor."""
        with _told(recording):
            path = _given(recording)
            read_speech(path, self._model.sample_rate, self._most_minutes)  # says what is wrong
            with contextlib.closing(self._voices.enroll(_session(request), path)) as steps:
                for step in steps:
                    yield {self._enrolled: _said(*step)}
            names = [ME, *(name for name in self._model.speakers if name != ME)]
            yield {
                self._enrolled: _said(f"learned: it is now among the speakers, as “{ME}”"),
                self._speakers: gr.update(choices=names, value=[ME]),
                self._speaker: gr.update(choices=names, value=ME),
            }

    def _left(self, request: gr.Request) -> None:
        """Forget the voice of a visitor who has gone, and what was drawn."""
        self._voices.forget(_session(request))
        if folder := self._folders.pop(_session(request), None):
            folder.cleanup()

    def _new_file(self, name: str, request: gr.Request) -> Path:
        """A path for a file of a visitor's, not the same twice."""
        session = _session(request)
        if session not in self._folders:
            self._folders[session] = tempfile.TemporaryDirectory(dir=self._files)
        return Path(tempfile.mkdtemp(dir=self._folders[session].name)) / name

    def _model_with(self, speaker: str, request: gr.Request) -> Model:
        """The model that knows a speaker: for one's own voice a model of one's own."""
        if speaker == ME:
            return load_model(self._voices.folder(_session(request)), self._device)
        self._model.speaker_index(speaker)
        return self._model

    def _drawn(
        self,
        place: int,
        path: Path,
        speaker: str,
        chunks: Iterator[np.ndarray],
        samples: int,
        codes: np.ndarray,
    ) -> Iterator[Updates]:
        """Send speech while it is drawn, and in the end as a file with its picture."""
        rate, blocks, drawn = self._model.sample_rate, [], 0
        for block in in_blocks(chunks, rate):
            blocks.append(block)
            drawn += len(block)
            yield {
                self._live: wav_bytes(block, rate),
                self._status: _said(f"drawing {speaker}", drawn / rate, samples / rate, " s"),
            }
        waveform = np.concatenate(blocks)
        player, picture = self._slots[place]
        with audio.Writer(path, rate, audio.DRAWN) as writer:
            writer.write(waveform)
        yield {
            player: gr.update(value=str(path), visible=True, label=speaker),
            picture: self._figure(speaker, waveform, codes),
        }

    def _cleared(self, what: str) -> Updates:
        """The results of before, gone; the player for those to come."""
        shown: list[Any] = [self._source, *(one for slot in self._slots for one in slot)]
        return {one: gr.update(value=None, visible=False) for one in shown} | {
            self._live: gr.update(visible=True),
            self._status: _said(what),
        }

    def _figure(self, name: str, waveform: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
        """An update to the picture of a waveform (T,) and its codes."""
        model = self._model
        png = codes_png(waveform, codes, model.sample_rate, model.hop_length)
        seconds = len(waveform) / model.sample_rate
        part = f"the first {SECONDS:g} of {seconds:.1f} s; " if seconds > SECONDS else ""
        times = f"{model.codebooks} times " if model.codebooks > 1 else ""
        count = f"{model.frame_rate:g} codes a second of {times}K = {model.codebook_size:,}"
        name = html.escape(name)
        figure = (
            f'<figure><img alt="Spectrogram of {name}, and its codes as colours below" '
            f'src="data:image/png;base64,{b64encode(png).decode()}">'
            f"<figcaption>{name}: {part}{count}, a colour each</figcaption></figure>"
        )
        return gr.update(value=figure, visible=True)


def _given(recording: str | None) -> Path:
    if recording is None:
        raise ValueError("no speech yet: record some, or drop a file")
    return Path(recording)


def _said(text: str, done: float = 0, total: float | None = None, unit: str = "") -> str:
    """How far work has come, as HTML."""
    if total is None:
        return f'<p role="status">{html.escape(text)}</p>'
    far = f"{html.escape(text)}: {done:.3g} of {total:.3g}{unit}"
    return f'<p role="status">{far}</p><progress value="{done}" max="{total}"></progress>'


@contextlib.contextmanager
def _told(recording: str | None) -> Iterator[None]:
    """Show mistakes of visitors as one line, with the name of the file instead of its path."""
    try:
        yield
    except (ValueError, OSError) as error:
        text = str(error)
        if recording is not None:
            text = text.replace(recording, Path(recording).name)
        raise gr.Error(html.escape(" ".join(text.split())), print_exception=False) from error


def _session(request: gr.Request) -> str:
    """A visitor's session; Gradio gives one to each."""
    assert request.session_hash is not None
    return request.session_hash
