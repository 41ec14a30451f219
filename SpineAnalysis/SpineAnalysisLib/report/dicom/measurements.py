"""The measurements as a DICOM structured report by template TID 1500."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...analysis import Analysis
from ...anatomy import Kind, Level, Segment, Structure
from ...measurements.record import Geometry, Measurement
from ...measurements.registry import Coded, Definition, definitions
from ...terminology import code_of
from ...terminology.codes import SIDES
from ...volume import LabelMap
from ..wording import flag_text, pretty_unit
from .segmentation import dicom_code, segmented_values
from .source import MANUFACTURER, PRIVATE_SCHEME, PRODUCT, RAS_TO_LPS, Source, identity

if TYPE_CHECKING:
    import highdicom
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

_MEANING_LENGTH = 64  # of a code's meaning, by the standard
_PROCEDURE = ("77477000", "SCT", "Computed tomography"), ("113091000", "SCT", "Magnetic resonance imaging")
_GRAPHICS = {"point": "POINT", "line": "POLYLINE", "angle": "POLYLINE", "curve": "POLYLINE", "contour": "POLYGON"}

_OUTLINES = frozenset(_GRAPHICS) - {"point"}  # what says more than the segment of the level


def structured_report(analysis: Analysis, source: Source,
                      segments: "highdicom.seg.Segmentation") -> "highdicom.sr.Comprehensive3DSR":
    """Every record that has a value as one group: code, value, unit, uncertainty, place, grade, flags.

    A group refers to the region in space that was measured, or else to the segment of its level.
    """
    import highdicom

    groups = [_group(record, analysis.spine.labels, source, segments)
              for record in analysis.measurements if record.value is not None]
    ct = source.first.get("Modality") == "CT"
    report = highdicom.sr.MeasurementReport(
        observation_context=_observer(), procedure_reported=_code(*_PROCEDURE[0 if ct else 1]),
        imaging_measurements=groups, title=_code("126000", "DCM", "Imaging Measurement Report"))
    made = highdicom.sr.Comprehensive3DSR([*source.images, segments], report[0], is_complete=True, **identity(1))
    made.SeriesDescription = f"{PRODUCT}: measurements"
    made.CodingSchemeIdentificationSequence = [_own_scheme()]
    return made


def _own_scheme() -> "Dataset":
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = PRIVATE_SCHEME, f"{PRODUCT}: keys of measurements"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def _observer() -> "highdicom.sr.ObservationContext":
    import highdicom

    device = highdicom.sr.DeviceObserverIdentifyingAttributes(
        uid=_fixed_uid(PRODUCT), name=PRODUCT, manufacturer_name=MANUFACTURER, model_name=PRODUCT,
        serial_number=__version__)
    return highdicom.sr.ObservationContext(observer_device_context=highdicom.sr.ObserverContext(
        observer_type=_code("121007", "DCM", "Device"), observer_identifying_attributes=device))


def _group(record: Measurement, labels: LabelMap, source: Source,
           segments: "highdicom.seg.Segmentation") -> "highdicom.sr.MeasurementsAndQualitativeEvaluations":
    import highdicom

    definition = definitions()[record.key]
    geometry = record.geometry
    outlined = geometry is not None and geometry.type in _OUTLINES
    segment = None if outlined else _segment_number(record.level, labels)
    region = _region(geometry, source) if geometry is not None and segment is None else None
    shared: dict[str, Any] = {"tracking_identifier": _tracking(record, source), "finding_sites": _sites(record),
              "measurements": [_value(record, definition, [region] if region else None)],
              "qualitative_evaluations": _evaluations(record)}
    if segment is None:
        return highdicom.sr.MeasurementsAndQualitativeEvaluations(**shared)
    return highdicom.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=highdicom.sr.ReferencedSegment(
            segments.SOPClassUID, segments.SOPInstanceUID, segment,
            source_series=highdicom.sr.SourceSeriesForSegmentation(source.first.SeriesInstanceUID)), **shared)


def _value(record: Measurement, definition: Definition,
           region: "Sequence[highdicom.sr.CoordinatesForMeasurement3D] | None") -> "highdicom.sr.Measurement":
    import highdicom

    assert record.value is not None
    spread = record.uncertainty
    unit = _code(record.unit, "UCUM", pretty_unit(record.unit) or "no units")
    properties = None if spread is None else highdicom.sr.MeasurementProperties(
        upper_measurement_uncertainty=_decimal(spread), lower_measurement_uncertainty=_decimal(spread))
    for item in properties or ():  # made without units
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [highdicom.sr.CodedConcept.from_code(unit)]
    coding = definition.coding
    return highdicom.sr.Measurement(
        concept(definition), _decimal(record.value), unit, properties=properties, referenced_coordinates=region,
        derivation=_declared(coding.derivation) if coding and coding.derivation else None,
        method=_declared(coding.method) if coding and coding.method else None)


def concept(definition: Definition) -> "Code":
    """The code of what is measured: a standard one where the family declares it, else this project's key."""
    if definition.coding is not None:
        return _declared(definition.coding.quantity)
    return _code(definition.key, PRIVATE_SCHEME, definition.title)


def _declared(code: Coded) -> "Code":
    scheme, value, meaning = code
    return _code(value, scheme, meaning)


def _decimal(value: float) -> float:
    """As exact as ``measurements.json``; a decimal string of DICOM holds sixteen characters."""
    return round(float(value), 4)


def _region(geometry: Geometry, source: Source) -> "highdicom.sr.CoordinatesForMeasurement3D | None":
    """Where it was measured; ``None`` for what has no graphic type of its own, such as a plane."""
    import highdicom

    graphic = _GRAPHICS.get(geometry.type)
    if graphic is None or not len(geometry.points_RAS):
        return None
    points = geometry.points_RAS @ RAS_TO_LPS[:3, :3].T
    if graphic == "POLYGON" and not np.allclose(points[0], points[-1]):
        points = np.vstack([points, points[:1]])
    return highdicom.sr.CoordinatesForMeasurement3D(graphic, points, source.frame_of_reference)


def _sites(record: Measurement) -> "list[highdicom.sr.FindingSite]":
    """What was measured, where that is declared; then a vertebra, a segment's disc, or both ends of a range."""
    import highdicom

    side = None if record.side is None else dicom_code(SIDES[record.side])
    coding = definitions()[record.key].coding
    part = _declared(coding.part) if coding and coding.part else None
    own = (Structure(coding.structure),) if coding and coding.structure else ()
    places = dict.fromkeys((*own, *_places(record.level)))  # each once
    return [highdicom.sr.FindingSite(dicom_code(_anatomy(place)), laterality=side,
                                     topographical_modifier=None if place in own else part) for place in places]


def _places(level: Level | Segment | None) -> tuple[Structure, ...]:
    if level is None:
        return (Structure(Kind.CANAL),)
    if isinstance(level, Level):
        return (Structure(Kind.VERTEBRA, level),)
    disc = Structure(Kind.DISC, level.upper, below=level.lower)
    if code_of(disc).region is None:  # a code of its own
        return (disc,)
    return Structure(Kind.VERTEBRA, level.upper), Structure(Kind.VERTEBRA, level.lower)


def _anatomy(place: Structure) -> "Code":
    return code_of(place).type


def _segment_number(level: Level | Segment | None, labels: LabelMap) -> int | None:
    """The segment of a vertebra's body (or all of it), or of a motion segment's disc."""
    kinds = (Kind.DISC,) if isinstance(level, Segment) else (Kind.BODY, Kind.VERTEBRA)
    at = level.upper if isinstance(level, Segment) else level
    values = segmented_values(labels)
    found = [value for kind in kinds for value in labels.values(kind, at) if at is not None and value in values]
    return values.index(found[0]) + 1 if found else None


def _evaluations(record: Measurement) -> "list[highdicom.sr.QualitativeEvaluation]":
    """Category, quality, grades and flags, each as a coded name and value of this project's own."""
    import highdicom

    said = [("quality", "Quality", record.quality.value, record.quality.value)]
    said += [("category", definitions()[record.key].title, record.word, record.word)] if record.word else []
    said += [("grade", f"Grade by {grade.source}", grade.label, grade.label) for grade in record.grades]
    said += [("flag", "Note", flag, flag_text(flag)) for flag in record.flags]
    return [highdicom.sr.QualitativeEvaluation(_code(name, PRIVATE_SCHEME, title), _code(value, PRIVATE_SCHEME, text))
            for name, title, value, text in said]


def _tracking(record: Measurement, source: Source) -> "highdicom.sr.TrackingIdentifier":
    """The same for the same record of the same study."""
    import highdicom

    parts = [record.key, str(record.level), record.side or ""]
    return highdicom.sr.TrackingIdentifier(_fixed_uid(str(source.first.StudyInstanceUID), *parts),
                                           " ".join(part for part in parts if part))


def _fixed_uid(*words: str) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(prefix=None, entropy_srcs=list(words))


def _code(value: str, scheme: str, meaning: str) -> "Code":
    from pydicom.sr.coding import Code

    return Code(value, scheme, textwrap.shorten(meaning, _MEANING_LENGTH, placeholder="..."))
