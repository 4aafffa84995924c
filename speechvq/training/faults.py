"""A loss that became NaN or infinite: at which step, and on the segments of which utterances."""

from collections.abc import Sequence

from speechvq.data.manifest import Utterance
from speechvq.distributed import Processes
from speechvq.training.meter import Meter
from speechvq.training.stage import Stage

NAMED = 5
"""Segments that are named at most."""
NORM = "gradient_norm"
"""The one number that is the same in all processes, whichever batch is at fault."""


def fault(stage: Stage, step: int, meter: Meter, processes: Processes) -> str:
    """What became NaN or infinite first, at which step, and on which segments, in one line.

    A batch is a function of its step, so that its segments are found again.

    Parameters
    ----------
    stage : Stage
        The stage that is trained.
    step : int
        Steps done in the stage.
    meter : Meter
        Whose means are not all finite.
    processes : Processes
        Segments of those processes are named whose own loss was not finite.
    """
    found = processes.gather_objects(meter.fault())
    ago = max(ago for ago, _, _ in found)
    first = [(name, value) for own, name, value in found if own == ago]
    name, value = min(first, key=lambda fault: fault[0] == NORM)
    at = step - ago
    own = stage.named(at) if meter.fault()[:2] == (ago, name) else []
    names = [segment for part in processes.gather_objects(own) for segment in part]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    where = f", on {', '.join(names[:NAMED])}{more}" if names else ""
    return (
        f"the {name.replace('_', ' ')} became {value} at step {at + 1} of stage {stage.name}"
        f"{where}; are these recordings sound? Else lower the stage's learning_rate, or train with "
        "precision float32"
    )


def segment_names(
    utterances: Sequence[Utterance], places: Sequence[tuple[int, int]], rate: float
) -> list[str]:
    """Names of segments, from the place of an utterance and its start, of which `rate` a second."""
    return [f"{utterances[i].id} from {start / rate:.2f} s" for i, start in places]
