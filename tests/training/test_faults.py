"""What is said of a loss that became NaN, by several processes."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from speechvq.training.faults import fault


def told_by(meters):
    """The line of each process, whose meter has this fault, and the steps that it was asked for."""
    barrier, values, asked = threading.Barrier(len(meters)), {}, {}

    def run(rank):
        def gather_objects(own):
            values[rank] = own
            barrier.wait()
            found = [values[other] for other in range(len(meters))]
            barrier.wait()
            return found

        def named(step):
            asked.setdefault(rank, []).append(step)
            return [f"u{rank} from 0.00 s"]

        stage, meter = (
            SimpleNamespace(name="mel", named=named),
            SimpleNamespace(fault=lambda: meters[rank]),
        )
        return fault(stage, 10, meter, SimpleNamespace(gather_objects=gather_objects))

    with ThreadPoolExecutor(len(meters)) as pool:
        return list(pool.map(run, range(len(meters)))), asked


@pytest.mark.parametrize(
    ("meters", "said", "ranks"),
    [
        # The second's loss; the norm is the same in both
        ([(4, "gradient_norm", math.inf), (4, "loss", math.nan)], "loss became nan at step 7", [1]),
        # Later on the weights are NaN, and so is every loss
        ([(6, "loss", math.nan), (5, "loss", math.nan)], "loss became nan at step 5", [0]),
        ([(2, "gradient_norm", math.nan)] * 2, "gradient norm became nan at step 9", [0, 1]),
        ([(0, "loss", 3.5), (1, "loss", math.inf)], "loss became inf at step 10", [1]),
    ],
)
def test_the_segments_of_those_whose_number_was_the_first(meters, said, ranks):
    lines, asked = told_by(meters)
    ago = max(ago for ago, _, _ in meters)
    assert asked == {rank: [10 - ago] for rank in ranks}
    names = ", ".join(f"u{rank} from 0.00 s" for rank in ranks)
    for line in lines:
        assert line.startswith(f"the {said} of stage mel, on {names}; are these recordings sound?")
