"""Processes that train together, as `torchrun` starts them, and the collectives between them."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(minutes=30)
"""A process that waits longer than this for the others gives up."""


@dataclass(frozen=True)
class Processes:
    """Rank of this process, number of processes, and device of this process."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the process that writes files and shows progress."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """Sum of a tensor over the processes; the tensor may be on any device."""
        if self.world_size == 1:
            return x
        total = x.to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(x.device)

    def gather(self, x: Tensor) -> Tensor:
        """Concatenate the tensors of all processes along the first dimension, in rank order."""
        return rows_of_all(x)

    def gather_objects(self, x: Any) -> list[Any]:
        """Plain values, such as a dict of numbers, of all processes in rank order."""
        values = [x] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, x)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.world_size == 1 else bool(self.sum(torch.tensor(int(flag))))

    def wait(self) -> None:
        """Return when every process has reached this call (a barrier)."""
        self.any(False)


def broadcast_from_rank0(x: Tensor) -> None:
    """Overwrite a tensor in every process with the tensor of rank 0; alone, do nothing."""
    if dist.is_initialized():
        dist.broadcast(x, src=0)


def sum_over_processes(x: Tensor) -> None:
    """Overwrite a tensor in every process with the sum over the processes; alone, do nothing."""
    if dist.is_initialized():
        dist.all_reduce(x)


def rows_of_all(x: Tensor) -> Tensor:
    """Concatenate the rows of all processes, as many in each, in rank order; alone, return `x`."""
    if not dist.is_initialized():
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def drawn_for_rows(rows: int, draw: Callable[[int], Tensor]) -> Tensor:
    """Random numbers for this process's rows of a batch: those that one process would draw.

    Each process draws for the whole batch, from generators in the same state, and takes its rows.

    Parameters
    ----------
    rows : int
        Of this process.
    draw : callable
        Draws for so many rows, (rows, …).
    """
    if not dist.is_initialized():
        return draw(rows)
    return draw(rows * dist.get_world_size())[rows * dist.get_rank() :][:rows]


def rank() -> int:
    """Rank of this process; 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the process group that torchrun's variables describe; without them, run alone.

    Parameters
    ----------
    device : str
        "auto" takes the GPU of this process, else the CPU; or any device name of torch.

    Raises
    ------
    ValueError
        There is no such device.
    ConnectionError
        Another process was killed, or has failed, or has kept this one waiting for `PATIENCE`.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if world_size == 1:
        yield Processes(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    try:
        # On a machine with GPUs, tensors on the CPU are exchanged, too
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
        yield Processes(chosen, rank(), world_size)
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "/gloo/" in str(error):
            raise ConnectionError(
                f"process {rank()} of {world_size}: lost another one, which was killed, has "
                "failed or does not answer; the same command with --resume goes on"
            ) from error
        raise
    finally:
        # Objects that still hold the group would end its threads too late and abort the process
        gc.collect()
        if dist.is_initialized():
            dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{local_rank}"
    return usable_device(name)


def usable_device(name: str) -> torch.device:
    """The device of a name; ValueError if torch has none of it here."""
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # how torch refuses one
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason}); try cpu") from error
    return device
