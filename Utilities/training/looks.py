"""What each tissue looks like: like T1, T2, STIR or CT, or like nothing on earth.

The typical signals are rough values of the author's, only their order matters: every one is varied a great deal.
"""

from dataclasses import dataclass

import numpy as np
import tissues as T
from numpy.typing import NDArray

Random = np.random.Generator

#               T1   T2  STIR    CT
_TYPICAL = {
    "air":     (5, 5, 5, -1000),
    "lung":    (25, 25, 25, -800),
    "skin":    (450, 350, 250, 20),
    "fat":     (850, 650, 70, -100),
    "muscle":  (330, 150, 180, 55),
    "organ":   (380, 330, 380, 60),
    "vessel":  (150, 120, 200, 90),
    "bowel":   (380, 380, 380, 10),
    "marrow":  (520, 380, 130, 190),
    "rim":     (110, 80, 60, 600),
    "arch":    (480, 350, 120, 330),
    "archrim": (130, 90, 70, 750),
    "annulus": (270, 100, 90, 90),
    "nucleus": (310, 420, 400, 85),
    "csf":     (180, 950, 1000, 8),
    "cord":    (380, 430, 380, 38),
    "roots":   (340, 400, 400, 32),
    "brain":   (420, 430, 420, 36),
    "fluid":   (150, 950, 1000, 5),
}
_COLUMNS = {"T1": 0, "T2": 1, "STIR": 2, "CT": 3}
_TEXTURE = {"air": 0.0, "lung": 0.2, "muscle": 0.22, "bowel": 0.4, "fat": 0.10, "organ": 0.12, "marrow": 0.13,
            "arch": 0.15, "csf": 0.06, "nucleus": 0.10, "annulus": 0.15, "vessel": 0.25, "cord": 0.06}
LOOKS = ("T1", "T2", "STIR", "CT", "random")
CHANCES = (0.20, 0.28, 0.11, 0.23, 0.18)

_LUNGS = (72, 73, 74, 75, 76, 116)
_VESSELS = (30, 31, 34, 35, 36, 41, 42, 55, 60, 61, 62, 63, 66, 78, 80, 112, 113, 114)
_MUSCLES = (32, 33, 49, 50, 51, 52, 53, 54, 64, 65, T.MUSCLE)
_BOWEL = (40, 44, 45, 108, 111)
_BONES = (38, 39, 46, 47, 56, 57, 58, 59, *range(81, 108), 110)


@dataclass(frozen=True, eq=False)
class Look:
    """:param signal, texture: (COUNT,) per tissue; :param over: signal of what lies over tissues, by its number."""

    name: str
    signal: NDArray[np.float32]
    texture: NDArray[np.float32]
    over: NDArray[np.float32]
    is_ct: bool


def _groups() -> dict[str, list[int]]:
    named = {"lung": list(_LUNGS), "vessel": list(_VESSELS), "muscle": list(_MUSCLES), "bowel": list(_BOWEL),
             "brain": [37], "fluid": [48, 117, 67, 68]}
    taken = {v for values in named.values() for v in values} | set(_BONES)
    named["organ"] = [v for v in T.ORGANS if v not in taken]
    named |= {"air": [T.AIR], "skin": [T.SKIN], "fat": [T.SUBCUTANEOUS, T.EPIDURAL], "csf": [T.CSF],
              "cord": [T.CORD], "roots": [T.ROOTS], "marrow": list(range(T.MARROW, T.MARROW + 30)),
              "arch": [*range(T.ARCH, T.ARCH + 30), T.SACRUM, *_BONES], "rim": [T.BODY_RIM, T.DURA],
              "archrim": [T.ARCH_RIM, T.SACRUM_RIM, T.BONE_RIM], "annulus": list(range(T.ANNULUS, T.NUCLEUS)),
              "nucleus": list(range(T.NUCLEUS, T.NUCLEUS + 25))}
    return named


GROUPS = _groups()
BONE_ONLY = 0.05
"""Share of CT scans from which everything but bone was taken."""
_IS_BONE = np.zeros(T.COUNT, bool)
_IS_BONE[[T.VEIN, *(v for group in ("marrow", "arch", "rim", "archrim") for v in GROUPS[group])]] = True
_IS_BONE[T.DURA] = False


def random_look(random: Random) -> Look:
    """One scan's."""
    name = str(random.choice(LOOKS, p=CHANCES))
    means = _random_means(random) if name == "random" else _means(random, name)
    is_ct = name == "CT"
    signal = np.zeros(T.COUNT, np.float32)
    texture = np.full(T.COUNT, 0.1, np.float32)
    spread = 12.0 if is_ct else 0.09
    for group, values in GROUPS.items():
        each = random.normal(0, 1, len(values))
        signal[values] = means[group] + each * spread if is_ct else means[group] * (1 + each * spread)
        texture[values] = _TEXTURE.get(group, 0.08)
    _vary_each(random, signal, means, is_ct)
    if is_ct and random.random() < BONE_ONLY:
        signal[~_IS_BONE] = random.choice([-1024.0, 0.0])
    if is_ct:
        texture *= 0.5
        absolute = np.maximum(np.abs(signal), 60.0) * texture
        over = np.array([0, random.uniform(2000, 6000), random.uniform(700, 2500), random.uniform(150, 2500),
                         random.choice([0.0, 60.0, 700.0])], np.float32)
    else:
        signal = np.maximum(signal, 0)
        absolute = signal * texture * random.uniform(0.4, 1.8)
        over = np.array([0, 0, random.uniform(0, 150), random.uniform(0, 250), random.uniform(0, 1000)], np.float32)
    return Look(name, signal, absolute.astype(np.float32), over, is_ct)


def _means(random: Random, name: str) -> dict[str, float]:
    column = _COLUMNS[name]
    if name != "CT":
        gain = {group: np.exp(random.normal(0, 0.25)) for group in _TYPICAL}
        means = {group: values[column] * gain[group] for group, values in _TYPICAL.items()}
        if random.random() < 0.15:  # little or no cortex to be seen
            means["rim"] = means["marrow"] * random.uniform(0.5, 1.0)
        if random.random() < 0.25:  # marrow of the old is fat
            means["marrow"] = means["fat"] * random.uniform(0.7, 1.05)
            means["arch"] = means["marrow"] * random.uniform(0.85, 1.1)
        if name == "T2" and random.random() < 0.3:  # fat suppressed
            for group in ("fat", "marrow", "arch"):
                means[group] *= random.uniform(0.15, 0.5)
        return means
    means = {group: float(values[column]) for group, values in _TYPICAL.items()}
    density = random.uniform(0.35, 1.7)
    for group in ("marrow", "arch", "rim", "archrim"):
        means[group] = means[group] * density * np.exp(random.normal(0, 0.15)) + 20
    for group in ("organ", "muscle", "bowel", "annulus", "nucleus"):
        means[group] += random.normal(0, 15)
    means["vessel"] += random.choice([0, 0, 60, 150])
    if random.random() < 0.15:  # myelogram
        means["csf"] = random.uniform(150, 900)
    return means


def _random_means(random: Random) -> dict[str, float]:
    means = {group: random.uniform(0, 1000) for group in _TYPICAL}
    means["air"] = random.uniform(0, 30) if random.random() < 0.9 else random.uniform(0, 400)
    means["arch"] = means["marrow"] * np.exp(random.normal(0, 0.2))
    if random.random() < 0.7:
        means["rim"] = random.uniform(0, 0.5) * means["marrow"]
    means["archrim"] = means["rim"] * np.exp(random.normal(0, 0.2))
    # What nothing but its brightness tells apart must differ in it.
    for group, other in (("nucleus", "marrow"), ("annulus", "marrow"), ("csf", "cord"), ("csf", "marrow")):
        if abs(means[group] - means[other]) < 90:
            means[group] = (means[other] + random.uniform(150, 500)) % 1000
    if random.random() < 0.5:
        means["nucleus"] = means["annulus"] * random.uniform(0.8, 1.3)
    return means


def _vary_each(random: Random, signal: NDArray[np.float32], means: dict[str, float], is_ct: bool) -> None:
    """Clusters, every organ, every disc and every body on its own."""
    soft = [means[g] for g in ("fat", "muscle", "organ", "bowel", "vessel")]
    for values, fat_share in ((T.CLUSTERS, 0.45), (T.NEAR, 0.4)):
        for value in values:
            signal[value] = means["fat"] if random.random() < fat_share else random.choice(soft)
    organs = GROUPS["organ"]
    signal[organs] = signal[organs] + random.normal(0, 25, len(organs)) if is_ct else (
        signal[organs] * np.exp(random.normal(0, 0.4, len(organs))))
    for number in range(25):
        water = random.random() ** 1.5 if means["nucleus"] > means["annulus"] else random.random()
        signal[T.NUCLEUS + number] = means["annulus"] + water * (means["nucleus"] - means["annulus"]) * 1.3
    if random.random() < 0.35:
        ill = random.integers(0, 20, 2)
        factor = np.exp(random.normal(0, 0.45, 2))
        signal[T.MARROW + ill] *= factor
        signal[T.ARCH + ill] *= factor
    for number in range(2):  # what is left of the sacrum's discs, or bone
        water = random.uniform(0, 1.2)
        signal[T.SACRAL_DISC + number] = means["marrow"] * random.uniform(0.6, 1.1) if random.random() < 0.25 else (
            means["annulus"] + water * (means["nucleus"] - means["annulus"]))
    if not is_ct and random.random() < 0.25:  # nothing but fat beside the bodies
        signal[list(T.NEAR)] = means["fat"] * random.uniform(0.8, 1.1, len(T.NEAR))
    signal[T.VEIN] = means["marrow"] * random.uniform(0.8, 1.4)
    if random.random() < 0.75:
        signal[T.SACRUM] = means["marrow"] * random.uniform(0.9, 1.1)
