"""The phantoms' exact answers against brute force, and their label maps and images against the answers."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Region, Segment, Structure
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import Grid, Phantom, SpineSpec, preset, presets
from SpineAnalysisLib.phantoms.__main__ import main
from SpineAnalysisLib.phantoms.rasterize import evaluate, majority
from SpineAnalysisLib.phantoms.truth import chord, disc_slab
from SpineAnalysisLib.volume import LabelMap, transform_points

L3_L4, L4_L5 = Segment(Level.L3, Level.L4), Segment(Level.L4, Level.L5)


def truths(phantom: Phantom) -> dict:
    """By key and level, and by side where there are two."""
    return {(t.key, t.level) if t.side is None else (t.key, t.level, t.side): t.value for t in phantom.truth()}


@pytest.fixture(scope="module")
def stenotic() -> Phantom:
    return preset("stenotic_lumbar")


@pytest.fixture(scope="module")
def short() -> Phantom:
    """Two lumbar vertebrae with a narrow canal."""
    return Phantom(SpineSpec.typical(Level.L3, Level.L4).changed(
        joints={Level.L3: {"narrowing_depth": 0.4, "narrowing_width": 0.2}}))


def straight() -> Phantom:
    """Two equal vertebrae on top of one another, so that the canal is upright and axial slices are its sections."""
    spec = SpineSpec.typical(Level.L3, Level.L4)
    sizes = {name: getattr(spec.vertebrae[0], name) for name in ("width", "depth", "canal_width", "canal_depth")}
    sizes |= {"height_anterior": 26.0, "height_posterior": 26.0}
    return Phantom(spec.changed(vertebrae={Level.L3: sizes, Level.L4: sizes},
                                joints={Level.L3: {"lordosis": 0.0, "narrowing_depth": 0.4, "narrowing_width": 0.2}}))


def volumes(labels: LabelMap) -> dict[str, float]:
    return {str(s): float((labels.array == v).sum() * labels.voxel_volume) for v, s in labels.structures.items()}


def section_grid(phantom: Phantom, s: float, half_mm: float = 45.0, spacing: float = 0.5) -> Grid:
    """One plane perpendicular to the canal."""
    frame = phantom.canal.frame(s)
    count = round(2 * half_mm / spacing) + 1
    matrix = frame.matrix @ np.diag([spacing, spacing, 1, 1])
    matrix[:3, 3] = frame.to_ras(np.array([-half_mm, -half_mm, 0]))
    return Grid((count, count, 1), matrix)


# --- truths against brute force

def test_narrowest_section_equals_fine_voxel_counting() -> None:
    phantom = straight()
    step = 0.25
    disc = phantom.chain.joints[0]
    middle = phantom.canal.at(phantom.canal.points, phantom.canal.position(disc.frame.plane))
    half = disc.height / 2 + 3 + 1
    grid = Grid.around(middle + np.array([[-14, -11, -half], [14, 11, half]]), step, margin=0)
    labels = phantom.labels(grid, cord=False)
    canal = labels.mask(labels.values(Kind.CANAL))
    areas = ndimage.uniform_filter1d(canal.sum(axis=(0, 1)) * step**2, round(1.5 / step))
    z = grid.ijk_to_ras[2, 3] + step * np.arange(grid.shape[2]) - middle[2]
    slab = np.abs(z) <= disc.height / 2 + 3
    known = truths(phantom)
    assert areas[slab].min() == pytest.approx(known["canal_area", L3_L4], rel=0.004)
    assert known["canal_area", L3_L4] < 0.55 * known["canal_area", Level.L3]
    worst = canal[:, :, np.argmin(np.abs(z))]
    assert worst.any(axis=0).sum() * step == pytest.approx(known["canal_ap_diameter", L3_L4], abs=step)
    assert worst.any(axis=1).sum() * step == pytest.approx(known["canal_transverse_diameter", L3_L4], abs=step)


def test_chord_equals_a_ray_through_a_dense_polygon(short: Phantom) -> None:
    canal = short.canal
    axis = np.array([0.5, 0.8, 0.3]) / np.linalg.norm([0.5, 0.8, 0.3])
    index = len(canal.s) // 2
    angle = np.linspace(0, 2 * np.pi, 200_001)
    outline = np.stack([np.cos(angle) * canal.width[index], np.sin(angle) * canal.depth[index]], axis=1) / 2
    direction = np.array([canal.right[index] @ axis, canal.anterior[index] @ axis])
    direction /= np.linalg.norm(direction)
    off = np.abs(outline @ [-direction[1], direction[0]])
    expected = 2 * np.linalg.norm(outline[np.argmin(off)])
    assert chord(canal, canal.width, canal.depth, axis)[index] == pytest.approx(expected, abs=1e-4)


def test_canal_volume_is_the_integral_of_its_area(stenotic: Phantom) -> None:
    canal = stenotic.canal
    labels = stenotic.labels(stenotic.grid(1.0), cord=False)
    exact = np.trapezoid(np.pi / 4 * canal.width * canal.depth, canal.s)
    assert volumes(labels)["spinal canal"] == pytest.approx(exact, rel=0.005)


def test_sections_perpendicular_to_the_canal_are_the_ellipses(stenotic: Phantom) -> None:
    canal = stenotic.canal
    for s in np.linspace(30, canal.s[-1] - 30, 5):
        labels = stenotic.labels(section_grid(stenotic, s, 20, 0.1), cord=False)
        area = labels.mask(labels.values(Kind.CANAL)).sum() * 0.01
        exact = np.pi / 4 * canal.at(canal.width, s) * canal.at(canal.depth, s)
        assert area == pytest.approx(exact, rel=0.002)


def test_disc_slab_is_disc_height_and_three_millimeters_each_way(stenotic: Phantom) -> None:
    joint = stenotic.chain.joints[0]
    start, end = disc_slab(joint, stenotic.canal)
    assert end - start == pytest.approx(truths(stenotic)["disc_height_middle", joint.segment] + 6)


def test_stenotic_preset_has_the_findings_of_the_demo(stenotic: Phantom) -> None:
    known = truths(stenotic)
    assert 70 < known["canal_area", L4_L5] < 80
    assert 100 < known["canal_area", L3_L4] < 190
    assert known["canal_area_ratio", L4_L5] < 0.3
    assert known["canal_area", Segment(Level.L1, Level.L2)] > 250


def test_cervical_preset_compresses_the_cord() -> None:
    known = truths(preset("cervical"))
    level = Segment(Level.C5, Level.C6)
    assert known["maximum_spinal_cord_compression", level] > 20
    assert known["maximum_canal_compromise", level] > 40
    assert known["canal_occupation_ratio", level] > known["canal_occupation_ratio", Level.C4]
    assert known["torg_pavlov_ratio", Level.C5] == pytest.approx(
        known["canal_ap_diameter", Level.C5] / known["body_ap_diameter", Level.C5])


def test_slip_and_angles_are_as_specified() -> None:
    slipped = truths(preset("slipped"))
    assert slipped["vertebra_slip", L4_L5] == pytest.approx(8.0)
    assert 20 < slipped["vertebra_slip_percent", L4_L5] < 25
    assert slipped["vertebra_slip", L3_L4] == pytest.approx(0.0, abs=1e-9)
    normal = truths(preset("normal_lumbar"))
    segmental = [v for (key, level, *_), v in normal.items() if key == "segmental_angle" and level.upper >= Level.L1]
    assert normal["lumbar_lordosis", Segment(Level.L1, Level.S1)] == pytest.approx(sum(segmental), abs=1e-6)
    assert 40 < sum(segmental) < 65
    assert normal["disc_wedge_angle", L4_L5] == pytest.approx(11.5)


def test_heights_of_a_fractured_body() -> None:
    known = truths(preset("fractured"))
    assert known["vertebra_height_anterior", Level.L1] == 16.5
    assert known["vertebra_height_posterior", Level.L1] == 25.0
    assert known["vertebra_height_middle", Level.L3] < known["vertebra_height_posterior", Level.L3] - 7


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_finite_answers_for_every_level(name: str) -> None:
    phantom = preset(name)
    known = truths(phantom)
    assert np.isfinite(list(known.values())).all()
    assert len(known) == len(phantom.truth())
    for place in (*phantom.spec.levels, *phantom.spec.segments):
        assert 40 < known["canal_area", place] < 400


def test_a_phantom_placed_elsewhere_has_the_same_answers(stenotic: Phantom) -> None:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("XYZ", [25, -15, 40], degrees=True).as_matrix()
    pose[:3, 3] = [120, -340, 900]
    moved = Phantom(stenotic.spec.changed(pose=pose))
    answers = truths(moved)
    for key, value in truths(stenotic).items():
        sampled = key[0].startswith(("foramen", "lateral_recess"))  # rays find these, so rounding can move them
        assert answers[key] == pytest.approx(value, abs=0.005 if sampled else 1e-6), key
    grid = stenotic.grid(2.5)
    elsewhere = Grid(grid.shape, pose @ grid.ijk_to_ras)
    same = stenotic.labels(grid).array == moved.labels(elsewhere).array
    assert same.mean() > 0.9999


# --- label maps

def test_volumes_converge(short: Phantom) -> None:
    fine, middle, coarse = (volumes(short.labels(short.grid(step), split=True)) for step in (0.6, 1.1, 2.2))
    for name, value in fine.items():
        assert middle[name] == pytest.approx(value, rel=0.015), name
        assert coarse[name] == pytest.approx(value, rel=0.05), name


@pytest.mark.parametrize("axes", ["LPS", "PIR", "ASR"])
def test_axes_order_and_flips_change_nothing(short: Phantom, axes: str) -> None:
    assert short.labels(short.grid(1.0, axes)).spacing == pytest.approx(1.0)
    expected, found = (volumes(short.labels(short.grid(1.0, a))) for a in ("RAS", axes))
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=0.01)


def test_an_oblique_grid_gives_the_same_volumes(short: Phantom) -> None:
    rotation = Rotation.from_euler("XYZ", [20, 15, 30], degrees=True).as_matrix()
    expected, found = volumes(short.labels(short.grid(1.0))), volumes(short.labels(short.grid(1.0, rotation=rotation)))
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=0.01)


def test_what_is_labeled_is_chosen(short: Phantom) -> None:
    grid = short.grid(2.0)
    whole = short.labels(grid, discs=False, canal=False, cord=False)
    assert set(whole.structures.values()) == {Structure(Kind.VERTEBRA, v) for v in (Level.L3, Level.L4)}
    split = short.labels(grid, split=True)
    assert set(split.structures.values()) == {
        *(Structure(kind, v) for kind in (Kind.BODY, Kind.ARCH) for v in (Level.L3, Level.L4)),
        Structure(Kind.DISC, Level.L3, below=Level.L4), Structure(Kind.CANAL)}
    bone = whole.array > 0
    assert np.array_equal(bone, split.mask(split.values([Kind.BODY, Kind.ARCH])))
    assert split.levels == (Level.L3, Level.L4)


def test_without_a_cord_label_the_cord_belongs_to_the_canal() -> None:
    phantom = Phantom(SpineSpec.typical(Level.C4, Level.C6))
    grid = phantom.grid(1.0)
    both, canal = phantom.labels(grid), phantom.labels(grid, cord=False)
    assert both.values(Kind.CORD)
    assert np.array_equal(both.mask(both.values([Kind.CORD, Kind.CANAL])), canal.mask(canal.values(Kind.CANAL)))


@pytest.mark.parametrize("name", ["stenotic_lumbar", "slipped", "cervical", "scoliotic"])
def test_bodies_stay_out_of_the_canal_and_vertebrae_out_of_one_another(name: str) -> None:
    phantom = preset(name)
    grid = phantom.grid(1.5)
    canal = np.zeros(grid.shape, bool)
    owners = np.zeros(grid.shape, np.uint8)
    by_level: dict[Level, np.ndarray] = {}
    for solid in phantom.solids:
        if solid.structure is None or solid.structure.kind is Kind.DISC:
            continue
        found = evaluate(solid, grid)
        assert found is not None
        window, distance = found
        if solid.structure.kind is Kind.CANAL:
            canal[window] |= distance < 0
        elif solid.structure.level is not None:
            mask = by_level.setdefault(solid.structure.level, np.zeros(grid.shape, bool))
            mask[window] |= distance < 0
            if solid.structure.kind is Kind.BODY:
                owners[window] |= np.where(distance < 0, 1, 0).astype(np.uint8)
    assert (canal & (owners > 0)).sum() < 0.01 * canal.sum()
    overlap = np.sum(list(by_level.values()), axis=0) > 1
    assert overlap.sum() < 0.002 * sum(mask.sum() for mask in by_level.values())


@pytest.mark.parametrize("name", ["stenotic_lumbar", "cervical", "whole"])
def test_arches_enclose_the_canal_at_mid_pedicle_and_open_at_the_disc(name: str) -> None:
    phantom = preset(name)

    def enclosed(s: float) -> bool:
        labels = phantom.labels(section_grid(phantom, s))
        free = ~labels.mask(labels.values([Kind.VERTEBRA, Kind.DISC]))[:, :, 0]
        components, _ = ndimage.label(free)
        middle = components[components.shape[0] // 2, components.shape[1] // 2]
        return middle != components[0, 0]
    for body in phantom.chain.bodies:
        assert enclosed(phantom.canal.position(body.pedicle_plane)), body.spec.level
    for joint in phantom.chain.joints:
        if joint.upper.spec.level.region is not Region.THORACIC:
            assert not enclosed(phantom.canal.position(joint.frame.plane)), joint.segment


def test_majority_labels_lie_nearer_to_the_truth_than_centers(short: Phantom) -> None:
    grid = short.grid((4.0, 1.0, 1.0))
    fine = volumes(short.labels(short.grid(0.7)))["spinal canal"]
    centers, votes = short.labels(grid), short.labels(grid, supersample=3)
    assert 0 < (centers.array != votes.array).mean() < 0.05
    assert volumes(votes)["spinal canal"] == pytest.approx(fine, rel=0.03)


def test_majority_takes_the_most_frequent() -> None:
    votes = np.array([[1, 5, 0], [1, 5, 7], [2, 4, 7]], np.uint16)
    assert majority(votes).tolist() == [1, 5, 7]


# --- images

@pytest.fixture(scope="module")
def scan(stenotic: Phantom) -> tuple[LabelMap, np.ndarray]:
    grid = stenotic.grid(1.0, margin=-10)
    return stenotic.labels(grid, split=True), stenotic.image(grid, bias=0.0).array


def inside(labels: LabelMap, image: np.ndarray, kind: Kind, level: Level | None = None) -> float:
    return float(np.median(image[ndimage.binary_erosion(labels.mask(labels.values(kind, level)))]))


def nucleus(image: np.ndarray, labels: LabelMap, phantom: Phantom, upper: Level) -> float:
    joint = phantom.chain.joints[phantom.spec.levels.index(upper)]
    i, j, k = np.rint(labels.to_ijk(joint.frame.origin)).astype(int)
    return float(np.mean(image[i - 3:i + 4, j - 2:j + 3, k - 1:k + 2]))


def test_tissues_of_a_t2_image_are_in_order(stenotic: Phantom, scan: tuple[LabelMap, np.ndarray]) -> None:
    labels, image = scan
    csf, cord = inside(labels, image, Kind.CANAL), inside(labels, image, Kind.CORD)
    marrow = inside(labels, image, Kind.BODY)
    worn, healthy = (nucleus(image, labels, stenotic, level) for level in (Level.L4, Level.L1))
    assert csf > healthy > cord > marrow > worn
    assert image.min() >= 0


def test_tissues_of_ct_and_t1(short: Phantom) -> None:
    grid = short.grid(1.0, margin=(-15, 20, -5))
    labels = short.labels(grid, split=True)
    ct, t1 = (short.image(grid, c, bias=0.0).array for c in ("CT", "T1"))
    assert 130 < inside(labels, ct, Kind.BODY) < 260
    assert -20 < inside(labels, ct, Kind.CANAL) < 50
    assert ct[labels.mask(labels.values(Kind.BODY))].max() > 600
    assert ct.min() < -900
    assert inside(labels, t1, Kind.BODY) > inside(labels, t1, Kind.CANAL)


def test_noise_and_seed(short: Phantom) -> None:
    grid = short.grid(2.0, margin=(-20, 20, -10))
    first, again, other = (short.image(grid, seed=seed).array for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    quiet, loud = (short.image(grid, noise=n).array.astype(float) for n in (0.0, 60.0))
    air = quiet < 8
    assert air.any()
    # Rayleigh: sigma times sqrt(pi / 2) where there is no signal.
    assert loud[air].mean() == pytest.approx(60 * np.sqrt(np.pi / 2), rel=0.02)


def test_thick_slices_average_thin_ones(short: Phantom) -> None:
    thin = short.grid(1.0, margin=-10)
    matrix = thin.ijk_to_ras @ np.diag([4.0, 1, 1, 1])
    matrix[:3, 3] = transform_points(thin.ijk_to_ras, np.array([1.5, 0, 0]))
    count = thin.shape[0] // 4
    thick = Grid((count, *thin.shape[1:]), matrix)
    a, b = (short.image(g, noise=0.0, bias=0.0).array.astype(float) for g in (thin, thick))
    mean = a[:4 * count].reshape(count, 4, *thin.shape[1:]).mean(axis=1)
    assert np.corrcoef(mean.ravel(), b.ravel())[0, 1] > 0.97
    assert b.mean() == pytest.approx(mean.mean(), rel=0.02)


def test_bias_brightens_the_back(short: Phantom) -> None:
    grid = short.grid(2.0, margin=-10)
    flat, biased = (short.image(grid, noise=0.0, bias=b).array.astype(float) for b in (0.0, 0.5))
    ratio = biased.sum(axis=(0, 2)) / flat.sum(axis=(0, 2))
    assert ratio[0] > ratio[-1]


# --- command and bad input

def test_command_writes_image_and_segmentation_on_one_grid(tmp_path) -> None:
    assert main(["cervical", str(tmp_path), "--spacing", "2", "2", "3", "--contrast", "T1"]) == 0
    image, labels = (SimpleITK.ReadImage(str(tmp_path / f"{n}.nii.gz")) for n in ("image", "segmentation"))
    assert image.GetSize() == labels.GetSize()
    assert image.GetDirection() == pytest.approx(labels.GetDirection())
    assert image.GetSpacing() == pytest.approx((2, 2, 3))
    # First axis to the back: LPS (0, 1, 0).
    assert image.GetDirection()[3] == pytest.approx(1)
    values = SimpleITK.GetArrayViewFromImage(labels)
    phantom = preset("cervical")
    center = phantom.chain.bodies[4].frame.origin * [-1, -1, 1]
    index = labels.TransformPhysicalPointToIndex(center.tolist())
    own = phantom.labels(phantom.grid(3.0))
    assert values[index[::-1]] == own.values(Kind.VERTEBRA, phantom.spec.levels[4])[0]


def test_bad_specifications_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="no C1"):
        SpineSpec.typical(Level.C1, Level.C4)
    spec = SpineSpec.typical(Level.L1, Level.L3)
    with pytest.raises(InputError, match="unbroken chain"):
        replace(spec, vertebrae=(spec.vertebrae[0], spec.vertebrae[2]), joints=spec.joints[:1])
    with pytest.raises(InputError, match="rigid"):
        spec.changed(pose=np.diag([2.0, 1, 1, 1]))
    with pytest.raises(InputError, match="has no S1"):
        spec.changed(vertebrae={Level.S1: {"width": 50.0}})
    with pytest.raises(InputError, match="no phantom 'lumber'"):
        preset("lumber")
    with pytest.raises(InputError, match="three patient axes"):
        preset("normal_lumbar").grid(1.0, "RRS")
    with pytest.raises(InputError, match="does not fit"):
        _ = Phantom(SpineSpec.typical(Level.C4, Level.C6).changed(
            joints={Level.C4: {"narrowing_depth": 0.8}})).canal
    with pytest.raises(InputError, match="no height left"):
        _ = Phantom(spec.changed(joints={Level.L1: {"lordosis": 60.0}})).chain


def test_numeric_variants_can_be_built() -> None:
    six = SpineSpec.typical(Level.L4, Level.S1, omit=(Level.T13,))
    assert six.levels == (Level.L4, Level.L5, Level.L6, Level.S1)
    four = SpineSpec.typical(Level.L3, Level.S1, omit=(Level.L5, Level.L6))
    assert truths(Phantom(four))["canal_area", Segment(Level.L4, Level.S1)] > 200
