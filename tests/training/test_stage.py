"""The batches of a stage, from processes that load them."""

import os
import signal

import torch
from torch.utils.data import Dataset

from speechvq.config import StageConfig
from speechvq.training.objective import Objective
from speechvq.training.stage import Stage


class Signalled(Dataset):
    """Each batch is made by a process that a signal of its whole group reaches meanwhile."""

    def __getitem__(self, step):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        return torch.tensor([step, os.getpid()])


def test_processes_that_load_leave_signals_to_the_training():
    stage = Stage("mel", StageConfig(steps=5), Objective(), Signalled(), list, 1, 1, workers=1)
    found = torch.stack(list(stage.loader(2, torch.device("cpu"))))
    assert found[:, 0].tolist() == [2, 3, 4]
    assert os.getpid() not in found[:, 1].tolist()
