"""Published cut-offs for vertebrae, foramina, alignment and balance."""

from ..anatomy import Level, Region, Segment
from .cutoffs import Band, Cutoff
from .record import Severity

_ANYWHERE = frozenset(Region)
_THORACOLUMBAR = frozenset({Region.THORACIC, Region.LUMBAR})


def _schwab(key: str, limits: tuple[float, float], unit: str, at: type) -> Cutoff:
    bands = (Band(limits[0], "moderate (+)", Severity.MODERATE), Band(limits[1], "marked (++)", Severity.SEVERE))
    return Cutoff(f"srs_schwab_2012_{key}", key, _ANYWHERE, bands, "Schwab et al., Spine 2012;37:1077-1082", at=(at,),
                  unit=unit, more_is_worse=True, signed=True)


CUTOFFS: tuple[Cutoff, ...] = (
    Cutoff("genant_1993", "vertebral_height_loss", _THORACOLUMBAR,
           (Band(20.0, "Genant grade 1", Severity.MILD), Band(25.0, "Genant grade 2", Severity.MODERATE),
            Band(40.0, "Genant grade 3", Severity.SEVERE)),
           "Genant et al., J Bone Miner Res 1993;8:1137-1148", at=(Level,), unit="%", more_is_worse=True),
    Cutoff("jacobsen_2007", "vertebra_slip", _ANYWHERE, (Band(3.0, "slip", Severity.MILD),),
           "Jacobsen et al., Spine 2007;32:120-125", at=(Segment,), more_is_worse=True),
    Cutoff("meyerding_1932", "vertebra_slip_percent", _ANYWHERE,
           (Band(0.0, "Meyerding grade I", Severity.MILD), Band(25.0, "Meyerding grade II", Severity.MODERATE),
            Band(50.0, "Meyerding grade III", Severity.SEVERE), Band(75.0, "Meyerding grade IV", Severity.SEVERE),
            Band(100.0, "Meyerding grade V", Severity.SEVERE)),
           "Meyerding, Surg Gynecol Obstet 1932;54:371-377", at=(Segment,), unit="%", more_is_worse=True),
    Cutoff("pickhardt_2013", "trabecular_density", frozenset({Region.LUMBAR}),
           (Band(110.0, "low bone density", Severity.MODERATE), Band(135.0, "lower bone density", Severity.MILD)),
           "Pickhardt et al., Ann Intern Med 2013;158:588-595", at=(Level,), levels=frozenset({Level.L1}),
           unit="HU"),
    Cutoff("hasegawa_1995", "foramen_height", frozenset({Region.LUMBAR}),
           (Band(15.0, "narrow foramen", Severity.MILD),),
           "Hasegawa et al., J Bone Joint Surg Am 1995;77:32-38", at=(Segment,)),
    Cutoff("ciric_1980", "lateral_recess_depth", frozenset({Region.LUMBAR}),
           (Band(3.0, "lateral recess stenosis", Severity.MODERATE),),
           "Ciric et al., J Neurosurg 1980;53:433-443", at=(Segment,)),
    _schwab("pelvic_tilt", (20.0, 30.0), "deg", Level),
    _schwab("pi_ll_mismatch", (10.0, 20.0), "deg", type(None)),
    _schwab("sagittal_vertical_axis", (40.0, 95.0), "mm", type(None)),
    Cutoff("sosort_2016", "cobb_angle", _ANYWHERE,
           (Band(10.0, "scoliosis", Severity.MILD), Band(21.0, "moderate scoliosis", Severity.MODERATE),
            Band(41.0, "severe scoliosis", Severity.SEVERE)),
           "Negrini et al., Scoliosis Spinal Disord 2018;13:3", at=(Segment,), unit="deg", more_is_worse=True),
)
