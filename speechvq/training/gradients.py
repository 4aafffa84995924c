"""Gradients of several processes, and the check that every trained parameter gets one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechvq.distributed import Processes, broadcast_from_rank0


def check_gradients(
    stage: str, objective: nn.Module, parameters: Sequence[nn.Parameter], processes: Processes
) -> None:
    """Refuse an objective that declares a parameter as trained that gets no gradient.

    Raises
    ------
    ValueError
        In every process, if a parameter has no gradient in any of them.
    """
    names = {id(p): name for name, p in objective.named_parameters()}
    without = [p for p in parameters if p.grad is None or id(p) not in names]
    if not processes.any(bool(without)):
        return
    name = names.get(id(without[0]), "a parameter of another module") if without else "a parameter"
    raise ValueError(
        f"stage {stage}: {type(objective).__name__}.trained() has {name}, which gets no gradient "
        "from the loss; leave it out of trained(), or use it in forward()"
    )


def share_of_batch(weight: float | Tensor | None, processes: Processes) -> float | Tensor:
    """What this process's loss counts in the mean of all processes; 1 where all weigh alike.

    Their mean is then that over the samples or codes of the whole batch, as of one process.
    """
    if processes.world_size == 1 or weight is None:
        return 1.0
    own = torch.as_tensor(weight, dtype=torch.float32, device=processes.device)
    total = processes.sum(own).clamp(min=torch.finfo(own.dtype).tiny)
    return own * processes.world_size / total


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter], processes: Processes) -> None:
    """Replace each gradient by its mean over the processes."""
    if processes.world_size == 1:
        return
    for p in parameters:
        assert p.grad is not None
        p.grad.copy_(processes.sum(p.grad) / processes.world_size)


@torch.no_grad()
def share_state(module: nn.Module) -> None:
    """Give every process the parameters and buffers of rank 0."""
    for x in module.state_dict().values():
        contiguous = x.contiguous()
        broadcast_from_rank0(contiguous)
        x.copy_(contiguous)
