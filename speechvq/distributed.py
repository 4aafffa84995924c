"""The processes that train together, as `torchrun` starts them."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many, and the device it computes on."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the processes, of a tensor that lies on any device."""
        if self.world_size == 1:
            return x
        total = x.to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(x.device)

    def gather(self, x: Tensor) -> Tensor:
        """The tensors of all processes, one after the other along the first dimension."""
        if self.world_size == 1:
            return x
        parts = [torch.empty_like(x) for _ in range(self.world_size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.world_size == 1 else bool(self.sum(torch.tensor(int(flag))))

    def wait(self) -> None:
        """Return when every process has come here."""
        self.any(False)


def rank() -> int:
    """Which of torchrun's processes this is; 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the others that torchrun's variables tell of; without them this process is alone.

    Parameters
    ----------
    device : str
        "auto" takes this process's GPU, else the CPU; or any name that torch knows.

    Raises
    ------
    ValueError
        There is no such device.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if world_size == 1:
        yield Processes(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # What is fitted before a training, on the CPU, is shared on a GPU's machine, too
    dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(chosen, rank(), world_size)
    finally:
        # What still holds on to the group would end its threads too late, which aborts the process
        gc.collect()
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device: {name!r} is none; expected auto, cpu or cuda") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device: {name!r} asked for, but this torch finds no GPU; take cpu")
        if device.index is None:
            device = torch.device("cuda", local_rank)
    return device


def broadcast_from_rank0(x: Tensor) -> None:
    """Overwrite a tensor, in every process, with that of rank 0."""
    if dist.is_initialized():
        dist.broadcast(x, src=0)


def sum_over_processes(x: Tensor) -> None:
    """Sum a tensor over the processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(x)
