"""Log of a training: JSON lines, and TensorBoard if it is installed."""

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
    """Writer of the records of a training.

    Each record is one line of `metrics.jsonl`: `kind` ("train", "epoch" or "valid"), `stage`,
    `step` within the stage, `global_step` over all stages, and the values.

    Parameters
    ----------
    folder : Path
        Created if missing.
    tensorboard : bool
        Write event files, too; one warning if the package is missing.
    size : int
        Bytes of `metrics.jsonl` to keep. Records after the checkpoint of a resumed training are
        cut off, since they will be written again.
    global_step : int
        Step after which TensorBoard's events are dropped, for the same reason.
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
        self, kind: str, stage: str, step: int, global_step: int, values: dict[str, float]
    ) -> None:
        """Write one record."""
        record = {"kind": kind, "stage": stage, "step": step, "global_step": global_step, **values}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(f"{kind}/{name}", value, global_step)

    def sound(
        self, stage: str, name: str, waveform: np.ndarray, sample_rate: int, global_step: int
    ) -> None:
        """Write a waveform (T,) to listen to, as a file and to TensorBoard."""
        file = self._folder / SOUNDS / f"{stage}-{global_step:07d}-{name}.wav"
        audio.write(file, waveform, sample_rate)
        if self._tensorboard is not None:
            self._tensorboard.add_audio(f"{stage}/{name}", waveform, global_step, sample_rate)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
