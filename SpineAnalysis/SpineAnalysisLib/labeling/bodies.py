"""How wide and deep vertebral bodies are."""

from collections.abc import Iterator

from ..anatomy import Level
from .sites import Site
from .traits import Seen, Trait

WIDTH = Trait("width of the body", {
    Level.C2: 18.0, Level.C3: 20.0, Level.C6: 23.0, Level.C7: 25.0, Level.T1: 26.5, Level.T4: 26.0, Level.T6: 27.5,
    Level.T9: 31.0, Level.T12: 38.0, Level.L1: 39.0, Level.L3: 42.5, Level.L5: 47.0}, 0.14, (8.0, 70.0), grows=True)
"""mm, at mid-height; rough outlines differ by as much as people.  C3 to C6: 20 to 23.5 mm in 164 vertebrae of northwest
India, 23 to 24.6 mm on CT of 100 people (J Spinal Disord Tech 2004, 17:102); typical thoracic ones 27.0 mm (IJAPB 2015,
1:1; 200 bones); L1 and L5: 34 and 44.4 mm in 63 people of Gujarat.  Between those and to Panjabi's larger ones (Spine
1991, 16:861 and 888; 1992, 17:299) as the phantoms have them (``phantoms.spec``)."""
DEPTH = Trait("depth of the body", {
    Level.C2: 14.5, Level.C3: 15.0, Level.C6: 16.0, Level.C7: 16.5, Level.T1: 17.0, Level.T3: 20.5, Level.T6: 24.0,
    Level.T9: 27.5, Level.T12: 30.0, Level.L1: 30.5, Level.L3: 32.5, Level.L5: 33.0}, 0.10, (4.0, 60.0), grows=True)
"""mm, in the middle.  C3 and C6: 14.7 to 16.3 mm in the same 164; typical thoracic ones 20.8 (3.4) mm; discs from L1-L2
to L5-S1: 30.2, 32.0, 32.9, 33.1 and 31.3 mm on MR of 14 people (anatomyjournal.ir A-10-159-1); between them as the
phantoms, whose thoracic ones are Panjabi's and larger."""
TRAITS = (WIDTH, DEPTH)


def seen(site: Site) -> Iterator[tuple[Trait, Seen]]:
    """Of one vertebra."""
    yield WIDTH, Seen(site.width, site.error(0))
    yield DEPTH, Seen(site.depth, site.error(1))
