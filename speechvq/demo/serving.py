"""The server of the demo. Nothing is fetched and nothing is told to anyone."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from speechvq.model_folder import codebook_of, load_model
from speechvq.prior_folder import load_prior
from speechvq.sampling import encode, sample

logger = logging.getLogger(__name__)

MEGABYTES = 20
"""Of a minute of a file: WAV of 24 bits and 48 kHz in stereo has 17."""


@contextlib.contextmanager
def served(
    model: Path,
    prior: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    most_minutes: float = 3.0,
    device: str = "cpu",
) -> Iterator[str]:
    """Serve the demo of a model folder; yields its address.

    Parameters
    ----------
    model : Path
        A model folder.
    prior : Path, optional
        A prior folder; by default the one in the model folder, if it has one.
    host, port
        Address to listen on; by default the first free port from 7860 on.
    most_minutes : float
        Of a recording.
    device : str
        As in `load_model`.

    Raises
    ------
    ImportError
        Gradio is not installed, or neither is FFmpeg.
    ValueError, OSError
        The model or the prior cannot be used; the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="speechvq-demo-") as name:
        root, files = Path(name), Path(name) / "files"
        files.mkdir()
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GRADIO_TEMP_DIR": str(files),
        }
        _find_ffmpeg(root)
        from speechvq.demo.page import Page
        from speechvq.demo.voices import Voices

        loaded = load_model(model, device)
        try:
            loaded_prior = load_prior(prior or model, codebook_of(loaded))
        except FileNotFoundError:
            if prior is not None:
                raise
            loaded_prior = None
            logger.info("the model has no prior: no unconditional speech")
        voices = Voices(model, root, device)
        sample(loaded, encode(loaded, np.zeros(1)), loaded.speakers[0])  # compiles the sampler
        page = Page(loaded, loaded_prior, voices, files, most_minutes, device)
        url = _launched(page.blocks, host, port, most_minutes)
        try:
            yield url
        finally:
            page.blocks.close(verbose=False)


def _launched(blocks: Any, host: str, port: int | None, most_minutes: float) -> str:
    """Begin to serve Gradio's blocks; the address."""
    import gradio

    from speechvq.demo.page import CSS

    fonts: dict[str, Any] = {
        "font": ["system-ui", "sans-serif"],
        "font_mono": ["ui-monospace", "monospace"],
    }
    try:
        _, url, _ = blocks.launch(
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            server_name=host,
            server_port=port,
            max_file_size=f"{max(1, round(MEGABYTES * most_minutes))}mb",
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            theme=gradio.themes.Default(**fonts),
            css=CSS,
        )
    except (OSError, OverflowError) as error:  # a number that is no port
        raise OSError(
            f"{host}, port {port or 'from 7860 on'}: cannot listen there; pass another --port if "
            "that one is taken, or an address of this machine as --host"
        ) from error
    return url


def _find_ffmpeg(folder: Path) -> None:
    """Put FFmpeg, by which Gradio encodes what it streams, on the path if it is not there."""
    if shutil.which("ffmpeg") is None:
        import imageio_ffmpeg

        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        # Gradio asks ffprobe, which that package lacks, whether a browser plays a file, and takes
        # no answer for yes
        (folder / "ffprobe").symlink_to(shutil.which("false") or "false")
        os.environ["PATH"] += os.pathsep + str(folder)
