"""Log of a training: JSON lines, and TensorBoard if it is installed."""

import contextlib
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from speechvq import audio
from speechvq.analysis.stored import as_number
from speechvq.json_reader import parse_json

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"
SOUNDS = "samples"

_TEXTS = ("kind", "stage")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file, with texts for `kind` and `stage` and numbers for the rest.

    A line that is no record, such as one that was cut, is skipped; so is a value that is no number,
    as of a file that was written to by hand.
    """
    records = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
        try:
            record = parse_json(line, dict)
        except ValueError:
            logger.warning("%s: a line that is no record is skipped", path)
            continue
        known = {name: record[name] for name in _TEXTS if isinstance(record.get(name), str)}
        numbers = {name: as_number(value) for name, value in record.items()}
        records.append(known | {name: x for name, x in numbers.items() if x is not None})
    return records


class Metrics:
    """Writer of the records of a training.

    Each record is one line of `metrics.jsonl`: `kind` ("train", "epoch" or "valid"), `stage`,
    `step` within the stage, `global_step` over all stages, and the values.

    Parameters
    ----------
    folder : Path
        Created if missing.
    tensorboard : bool
        Write event files, too.
    size : int
        Bytes of `metrics.jsonl` to keep. Records after the checkpoint of a resumed training are
        cut off, since they will be written again.
    global_step : int
        Step after which TensorBoard's events are dropped, for the same reason.
    """

    def __init__(self, folder: Path, tensorboard: bool = True, size: int = 0, global_step: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        with audio.naming(folder / FILE):
            self._file = open(folder / FILE, "a", encoding="utf-8")  # noqa: SIM115
            if self._file.tell() > size:
                self._file.truncate(size)
        self._events: _Events | None = None
        if tensorboard:
            self._events = _Events(folder / TENSORBOARD, global_step)

    def size(self) -> int:
        """Bytes of `metrics.jsonl` so far, which then are on the disk."""
        with audio.naming(self._folder / FILE):
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def write(
        self, kind: str, stage: str, step: int, global_step: int, values: dict[str, float]
    ) -> None:
        """Write one record.

        Raises
        ------
        OSError
            The disk is full. A part of the record may be in the file; a resume cuts it off.
        """
        record = {"kind": kind, "stage": stage, "step": step, "global_step": global_step, **values}
        with audio.naming(self._folder / FILE):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        if self._events is not None:
            self._events.scalars({f"{kind}/{name}": x for name, x in values.items()}, global_step)

    def sound(
        self, stage: str, name: str, waveform: np.ndarray, sample_rate: int, global_step: int
    ) -> None:
        """Write a waveform (T,) to listen to, as a file and to TensorBoard."""
        file = self._folder / SOUNDS / f"{stage}-{global_step:07d}-{name}.wav"
        audio.write(file, waveform, sample_rate)
        if self._events is not None:
            self._events.sound(f"{stage}/{name}", waveform, sample_rate, global_step)

    def close(self) -> None:
        """Close the files."""
        for opened in (self._file, self._events):
            if opened is not None:
                with contextlib.suppress(OSError):  # of a write that has failed before
                    opened.close()


class _Events:
    """An event file of TensorBoard, written at once.

    torch's SummaryWriter writes in a thread, where an error is a traceback, and where a killed
    process loses the last two minutes.
    """

    def __init__(self, folder: Path, global_step: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self._event, self._summary = Event, summary
        moment = f"{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / f"events.out.tfevents.{moment}"
        with audio.naming(self._path):
            folder.mkdir(exist_ok=True)
            self._file = open(self._path, "ab")  # noqa: SIM115
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if global_step:  # later events of the run that is resumed are dropped
            self._write(session_log=SessionLog(status=SessionLog.START), step=global_step + 1)

    def scalars(self, values: dict[str, float], global_step: int) -> None:
        for name, value in values.items():
            self._write(summary=self._summary.scalar(name, value), step=global_step)

    def sound(self, name: str, waveform: np.ndarray, sample_rate: int, global_step: int) -> None:
        made = self._summary.audio(name, waveform, sample_rate)
        self._write(summary=made, step=global_step)

    def close(self) -> None:
        self._file.close()

    def _write(self, **fields: Any) -> None:
        with audio.naming(self._path):
            event = self._event(wall_time=time.time(), **fields)
            self._records.write(event.SerializeToString())
            self._file.flush()
