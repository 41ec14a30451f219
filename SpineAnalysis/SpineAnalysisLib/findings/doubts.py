"""What limits a result, in sentences."""

from collections.abc import Sequence

from ..anatomy import Level
from ..spine import Spine

LOWEST_USUAL_CORD = Level.L2
"""The conus lies at L1-L2 in most adults (Saifuddin et al., Spine 1998;23:1452-1456)."""


def _low_cord(spine: Spine) -> str:
    """A doubt about a cord where there is none in most people."""
    if spine.cord is None:
        return ""
    below = [v.level for v in spine.vertebrae if v.level > LOWEST_USUAL_CORD and v.canal_s is not None
             and spine.cord.complete[spine.cord.nearest(v.canal_s)]]
    return f"A cord is labeled at {below[0]}, where few people have one: check the names of the levels, or the label." \
        if below else ""


def _sac_by_bony_limits(spine: Spine) -> str:
    """A doubt about limits that were made for another outline."""
    if spine.canal_meaning != "dural sac":
        return ""
    return ("AP diameters are of the dural sac, but their lumbar limits were published for the bony canal, which is "
            "wider: by them, more looks narrow than is, so the area tells how severe a stenosis is.")


ABOUT_LEVELS = ("Levels are ", "The segmentation says ")
"""How doubts begin that every number with a level depends on."""


def doubts(spine: Spine, notes: Sequence[str]) -> tuple[str, ...]:
    """What limits the result, the gravest first."""
    out: list[str] = []
    about_levels = [note for note in notes if note.startswith(ABOUT_LEVELS)]
    notes = [note for note in notes if note not in about_levels]
    if spine.provisional and not about_levels:
        about_levels = ["Levels are provisional: the segmentation does not show where to count from, so every level "
                        "may be off by one or more."]
    out += about_levels
    if spine.canal is None:
        out.append("No canal is labeled and none could be derived; only the cord was measured.")
    elif spine.canal.derived:
        out.append("The canal was derived from the vertebral arches: it is the bony canal, without discs, ligaments "
                   "and fat, so soft-tissue stenosis is not seen.")
    if spine.image is None:
        out.append("There is no scan, only a segmentation: nothing about signal was measured and pictures show labels.")
    out.append(_low_cord(spine))
    return tuple(doubt for doubt in (*out, *spine.notes, *notes, _sac_by_bony_limits(spine)) if doubt)
