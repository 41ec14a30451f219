"""A spine with known answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind, Structure
from ..geometry.frames import Frame
from ..volume import LabelMap, Volume
from .canal import Canal, build_canal
from .displacement import displacement_truths
from .foramina import foramen_truths
from .image import Contrast, render
from .model import Chain, build_chain
from .rasterize import Grid, rasterize
from .signal import signal_truths
from .solids import Solid, build_solids
from .spec import SpineSpec
from .surroundings import Surroundings, inner_solids
from .truth import Truth, all_truths

Vector = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Phantom:
    """An analytic spine; everything about it follows from its specification."""

    spec: SpineSpec

    @cached_property
    def chain(self) -> Chain:
        return build_chain(self.spec)

    @cached_property
    def canal(self) -> Canal:
        return build_canal(self.spec, self.chain)

    @cached_property
    def solids(self) -> list[Solid]:
        return build_solids(self.chain, self.canal, self.spec.fat)

    def grid(self, spacing: float | Sequence[float] = 1.0, axes: str = "RAS", rotation: Vector | None = None,
             margin: float | Sequence[float] = 8.0) -> Grid:
        """A grid that holds the whole spine; see :meth:`Grid.around`."""
        corners = np.concatenate([s.corners for s in self.solids if s.structure is not None])
        return Grid.around(corners, spacing, axes, rotation, margin)

    def labels(self, grid: Grid, *, split: bool = False, discs: bool = True, canal: bool = True, cord: bool = True,
               supersample: int = 1) -> LabelMap:
        """An ideal segmentation.

        :param split: bodies and arches as labels of their own instead of whole vertebrae.
        :param discs: and :param canal: and :param cord: whether these are labeled; a cord that is not is canal.
        :param supersample: 1 labels by voxel centers; more, by the majority of that many points along each axis.
        """
        whole = {Kind.BODY: Kind.VERTEBRA, Kind.ARCH: Kind.VERTEBRA}
        wanted = {Kind.BODY, Kind.ARCH} | ({Kind.DISC} if discs else set()) | ({Kind.CANAL} if canal else set())

        def name(structure: Structure) -> Structure | None:
            if structure.kind is Kind.CORD:
                return structure if cord else name(Structure(Kind.CANAL))
            if structure.kind not in wanted:
                return None
            return structure if split else Structure(whole.get(structure.kind, structure.kind), structure.level,
                                                     below=structure.below)
        solids = [s for s in self.solids if s.structure is not None]
        named = [name(s.structure) for s in solids if s.structure is not None]
        return rasterize(solids, named, grid, supersample)

    def image(self, grid: Grid, contrast: Contrast = "T2", *, noise: float | None = None, bias: float = 0.35,
              seed: int = 0) -> Volume:
        """A scan of the phantom, with partial volume.

        :param noise: standard deviation; by default a little: 18 of about 1000 for MR, 14 HU for CT.
        :param bias: share of MR signal lost per 100 mm in front of the canal.
        """
        before, after = inner_solids(self.chain, self.canal)
        pose = self.spec.pose
        upright = Frame(pose[:3, 3], *pose[:3, :3].T)
        surroundings = Surroundings.of(self.chain, self.canal, upright)
        sigma = noise if noise is not None else 14.0 if contrast == "CT" else 18.0
        array = render(before, self.solids, after, surroundings, grid, contrast, sigma, bias, seed)
        return Volume(np.rint(array).astype(np.int16), grid.ijk_to_ras, contrast)

    def truth(self) -> list[Truth]:
        """Every exact answer."""
        return list(self._truth)

    @cached_property
    def _truth(self) -> list[Truth]:
        known = [*all_truths(self.chain, self.canal), *signal_truths(self.chain),
                 *displacement_truths(self.chain, self.canal),
                 *(t for joint in self.chain.joints for t in foramen_truths(joint, self.solids))]
        taken = {joint.segment for joint in self.chain.joints if joint.spec.herniation is not None}
        return [t for t in known if not (t.level in taken and t.key.startswith(("canal_", "maximum_canal")))]
