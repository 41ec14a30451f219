"""What limits a result, in sentences."""

from collections.abc import Iterator, Sequence

from ..anatomy import Level, Region, Segment
from ..measurements.flags import AP_CUTOFF, PLACE_IN_DOUBT
from ..measurements.record import Measurement
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


def _sac_by_bony_limits(spine: Spine, measurements: Sequence[Measurement]) -> str:
    """A doubt about limits that were made for another outline, where something is abnormal by them."""
    if spine.canal_meaning != "dural sac" or not any(AP_CUTOFF in m.flags and m.severity for m in measurements):
        return ""
    by_area = any(m.key == "canal_area" and m.grades for m in measurements)
    tail = ", so the area tells how severe a stenosis is" if by_area else ""
    return ("AP diameters are of the dural sac, but their limits were published for the bony canal, which is wider: by "
            f"them, more looks narrow than is{tail}.")


_WORTH_SAYING = 0.05
"""Probability of a region from which on it is said."""
ABOUT_LEVELS = ("Levels are ", "The segmentation says ")
"""How doubts begin that every number with a level depends on."""


def _regions_in_doubt(spine: Spine, measurements: Sequence[Measurement]) -> Iterator[str]:
    """What the vertebrae could be whose numbers have no grade because of it, and what to do."""
    withheld = {m.level.upper if isinstance(m.level, Segment) else m.level for m in measurements
                if PLACE_IN_DOUBT in m.flags}
    levels = sorted(level for level in withheld if level is not None)
    if not levels:
        return
    told = "; ".join(f"{level} {_could_be(spine, level)}" for level in levels)
    yield ("Grades by limits for one part of the spine are left out where it is in doubt which part this is: "
           f"{told}. Name one vertebra that you know, and they are given.")


def _could_be(spine: Spine, level: Level) -> str:
    """``lumbar (62 %) or thoracic (38 %)``, the likeliest first."""
    chances = (spine.chances or {}).get(level, {})
    shares = {region: sum(chance for other, chance in chances.items() if other.region is region) for region in Region}
    likely = sorted((r for r in Region if shares[r] >= _WORTH_SAYING), key=lambda region: -shares[region])
    return " or ".join(f"{region.value} ({shares[region]:.0%})" for region in likely) or "could be any"


def doubts(spine: Spine, notes: Sequence[str], measurements: Sequence[Measurement] = ()) -> tuple[str, ...]:
    """What limits the result, the gravest first."""
    out: list[str] = []
    about_levels = [note for note in notes if note.startswith(ABOUT_LEVELS)]
    notes = [note for note in notes if note not in about_levels]
    if spine.provisional and not about_levels:
        about_levels = ["Levels are provisional: the segmentation does not show where to count from, so every level "
                        "may be off by one or more."]
    out += [*about_levels, *_regions_in_doubt(spine, measurements)]
    if spine.canal is None:
        out.append("No canal is labeled and none could be derived; only the cord was measured.")
    elif spine.canal.derived:
        out.append("The canal was derived from the vertebral arches: it is the bony canal, without discs, ligaments "
                   "and fat, so soft-tissue stenosis is not seen.")
    if spine.image is None:
        out.append("There is no scan, only a segmentation: nothing about signal was measured and pictures show labels.")
    out.append(_low_cord(spine))
    return tuple(doubt for doubt in (*out, *spine.notes, *notes, _sac_by_bony_limits(spine, measurements)) if doubt)
