"""Workers on a GPU and the memory of each, by three formulas: ``python -m tests.bench.gpu_table``.

Nothing is measured here. For each box, padding and number of classes the table gives the GPU
memory of a worker with one thread by RELION's own formula (what sizing uses), by the older
dispatcher's, and as the M3 guide prints it, which knows neither padding nor classes; and for each
card the workers that each of them puts on one GPU, at most the profiles' eight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from relion_dispatch.cluster import Partition
from relion_dispatch.gpu_layouts import gpu_layout
from relion_dispatch.memory import GpuModel, Problem, gpu_mem_mb
from relion_dispatch.needs import Need, Room, Unfit

#: Memory of a device in MiB, as its driver reports it.
CARDS = {
    "K80": 11441,
    "P100": 16280,
    "V100-16": 16160,
    "V100-32": 32510,
    "A100-40": 40536,
    "A100-80": 81251,
}
BOXES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
PADS = (1, 2)
CLASSES = (1, 2, 4, 6, 10)
MOST = 8


@dataclass(frozen=True, kw_only=True)
class Row:
    """One box, padding and number of classes.

    Attributes
    ----------
    relion_mb, fmi_mb, guide_mb
        Memory of a worker in MiB by each formula.
    workers
        Workers on a GPU of each card by each formula, in this order; 0 where none fits.
    """

    box: int
    pad: int
    classes: int
    relion_mb: int
    fmi_mb: int
    guide_mb: int
    workers: dict[str, tuple[int, int, int]]


def rows() -> Iterator[Row]:
    """Yield the table."""
    for box, pad, classes in product(BOXES, PADS, CLASSES):
        problem = Problem(box=box, pad=pad, classes=classes)
        guide_mb = _guide_mb(box)
        yield Row(
            box=box,
            pad=pad,
            classes=classes,
            relion_mb=gpu_mem_mb("relion", problem) or 0,
            fmi_mb=gpu_mem_mb("fmi", problem) or 0,
            guide_mb=guide_mb,
            workers={
                card: (
                    sized(problem, mb, "relion"),
                    sized(problem, mb, "fmi"),
                    min(mb // guide_mb, MOST),
                )
                for card, mb in CARDS.items()
            },
        )


def sized(problem: Problem, card_mb: int, model: GpuModel) -> int:
    """Return the workers that sizing puts on one GPU of a roomy node; 0 where it refuses."""
    room = Room(
        name="gpu",
        partition=Partition(gpus_per_node=1, gpu_mem_mb=card_mb),
        cores=64,
        mem_mb=10**8,
        gpu_model=model,
        workers_per_gpu=MOST,
    )
    need = Need(
        ranks="workers", threads=True, gpu="shared", memory="refine", nthread=1, problem=problem
    )
    try:
        return gpu_layout(need, room).ntasks - 1
    except Unfit:
        return 0


def _guide_mb(box: int) -> int:
    """The guide's ``2.5 * 1.05 * 4 * (2 box)^3 / 1024^3`` GB, in MiB and rounded up."""
    return -(-int(2.5 * 1.05 * 4 * (2 * box) ** 3) // 1024**2)


def text(table: Iterable[Row]) -> str:
    """Return the table as tab-separated text."""
    head = ["box", "pad", "K", "relion MB", "fmi MB", "guide MB"]
    lines = ["\t".join([*head, *(f"{card} ({mb} MB)" for card, mb in CARDS.items())])]
    for row in table:
        numbers = (row.box, row.pad, row.classes, row.relion_mb, row.fmi_mb, row.guide_mb)
        each = ("/".join(map(str, workers)) for workers in row.workers.values())
        lines.append("\t".join([*map(str, numbers), *each]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(rows()), end="")
