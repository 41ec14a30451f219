"""Colors of structures: levels that touch can be told apart, kinds that belong together look alike."""

import colorsys

from ..anatomy import Kind, Level, Region, Structure

# Hue at the first and the last level of a region: from ivory at the neck down to clay at the sacrum.
_REGION_HUES = {
    Region.CERVICAL: (0.135, 0.115), Region.THORACIC: (0.11, 0.08), Region.LUMBAR: (0.07, 0.035),
    Region.SACRAL: (0.0, 0.0),
}
_ALTERNATING = ((0.36, 0.95), (0.58, 0.78))  # saturation and value, in turns
_VARIANT = (0.70, 0.62)  # of T13 and L6, which come between two that are in turn

# Difference of saturation and value from the vertebra's own color.
_BONE_SHADES = {
    Kind.VERTEBRA: (0.0, 0.0), Kind.BODY: (0.05, 0.03), Kind.ENDPLATE: (-0.2, 0.05), Kind.ARCH: (0.0, -0.12),
    Kind.SPINOUS_PROCESS: (0.1, -0.18), Kind.TRANSVERSE_PROCESS: (-0.1, -0.15),
    Kind.SUPERIOR_ARTICULAR_PROCESS: (0.14, -0.08), Kind.INFERIOR_ARTICULAR_PROCESS: (0.14, -0.25),
}

_DISC_HUES = (0.54, 0.61)  # from the neck to the sacrum

_OTHERS = {
    Kind.CANAL: (0.24, 0.70, 0.56), Kind.DURAL_SAC: (0.47, 0.83, 0.72), Kind.CORD: (0.98, 0.83, 0.24),
    Kind.CANAL_CONTENT: (0.72, 0.82, 0.55), Kind.RIB: (0.86, 0.83, 0.74), Kind.HIP: (0.78, 0.72, 0.62),
    Kind.FEMUR: (0.70, 0.66, 0.60), Kind.ERECTOR: (0.72, 0.33, 0.29), Kind.ILIOPSOAS: (0.66, 0.38, 0.36),
}

_USUAL = [level for level in Level if not level.is_variant]


def color_of(structure: Structure) -> tuple[float, float, float]:
    """Red, green and blue, 0..1."""
    kind, level = structure.kind, structure.level
    if kind in _OTHERS:
        return _OTHERS[kind]
    at = level or Level.L3
    saturation, value = _VARIANT if at.is_variant else _ALTERNATING[_USUAL.index(at) % 2]
    if kind is Kind.DISC:
        first, last = _DISC_HUES
        return colorsys.hsv_to_rgb(first + (last - first) * at / Level.S1, saturation, value)
    more_saturation, more_value = _BONE_SHADES[kind]
    return colorsys.hsv_to_rgb(_hue(at), max(saturation + more_saturation, 0.0), min(value + more_value, 1.0))


def _hue(level: Level) -> float:
    first, last = _REGION_HUES[level.region]
    members = [other for other in Level if other.region is level.region]
    return first + (last - first) * members.index(level) / max(len(members) - 1, 1)
