"""Where the numbers of a training go: JSON lines, and TensorBoard when it is installed."""

import json
import logging
import os
from pathlib import Path

import numpy as np

from speechvq import audio

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
SOUNDS = "samples"


class Metrics:
    """Writer of a training's records.

    Each record is one line of `metrics.jsonl`: `kind` ("train", "epoch" or "valid"), `phase`,
    `step` within the phase, `global_step` over all phases, and the values.

    Parameters
    ----------
    folder : Path
        Made when missing.
    tensorboard : bool
        Write event files too; without the package one warning says so.
    size : int
        Bytes of `metrics.jsonl` to keep: what a resumed training wrote after its checkpoint is cut
        off, since it is about to be written again.
    global_step : int
        Step from which TensorBoard forgets for the same reason.
    """

    def __init__(self, folder: Path, tensorboard: bool = True, size: int = 0, global_step: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = open(folder / FILE, "a", encoding="utf-8")  # noqa: SIM115
        if self._file.tell() > size:
            self._file.truncate(size)
        self._tensorboard = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                logger.warning("no TensorBoard files: the package tensorboard is not installed")
            else:
                self._tensorboard = SummaryWriter(
                    str(folder / TENSORBOARD), purge_step=global_step + 1 if global_step else None
                )

    @property
    def size(self) -> int:
        """Bytes of `metrics.jsonl` so far."""
        return os.fstat(self._file.fileno()).st_size

    def write(
        self, kind: str, phase: str, step: int, global_step: int, values: dict[str, float]
    ) -> None:
        """Write one record."""
        record = {"kind": kind, "phase": phase, "step": step, "global_step": global_step, **values}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(f"{kind}/{name}", value, global_step)

    def sound(
        self, phase: str, name: str, waveform: np.ndarray, sample_rate: int, global_step: int
    ) -> None:
        """Keep a waveform (T,) to listen to, as a file and in TensorBoard."""
        file = self._folder / SOUNDS / f"{phase}-{global_step:07d}-{name}.wav"
        audio.write(file, waveform, sample_rate)
        if self._tensorboard is not None:
            self._tensorboard.add_audio(f"{phase}/{name}", waveform, global_step, sample_rate)

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
