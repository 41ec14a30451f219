"""Every flag that a measurement can carry: what it means to a reader and how far it lowers trust."""

from collections.abc import Iterable

from .record import Quality

_GOOD, _LIMITED, _POOR = Quality.GOOD, Quality.LIMITED, Quality.POOR

LEVEL_PROVISIONAL = "level_provisional"
NEAR_CUTOFF = "near_cutoff"
AP_CUTOFF = "ap_cutoff_for_bony_canal"
AREA_CUTOFF = "area_cutoff_for_dural_sac"
PLACE_IN_DOUBT = "limits_of_another_place"
BROKEN = "outline_breaks_up"
ABOUT_GRADES = (NEAR_CUTOFF, AP_CUTOFF, AREA_CUTOFF)
"""Flags that say nothing where nothing is graded."""

FLAGS: dict[str, tuple[Quality, str]] = {
    LEVEL_PROVISIONAL: (_LIMITED, "the level's name is provisional: nothing in view tells where to count from"),
    "canal_derived": (_LIMITED, "the canal was derived from the vertebral arches, not segmented; what bulges into it "
                                "(disc, ligament) is not seen"),
    "thick_slices": (_LIMITED, "the slices are thick"),
    "coarse_voxels": (_LIMITED, "the voxels are large for this structure"),
    "partial_view": (_LIMITED, "only part of the place to measure is in view"),
    BROKEN: (_POOR, "the outline breaks up here: what it is of is closed, or was not recognized; look at the scan"),
    "canal_not_in_view": (_POOR, "the canal is not in view here"),
    "plane_between_slices": (_LIMITED, "the slices lean much against the canal, so the plane was cut through "
                                       "the outlines of several of them"),
    "scans_disagree": (_LIMITED, "another scan of the visit says otherwise, by more than both uncertainties let "
                                 "expect"),
    "canal_outline_lost": (_POOR, "the canal's outline all but closes beside the pedicles, where no disc narrows it: "
                                  "it is broken here"),
    "partial_reference": (_LIMITED, "the reference above or below is only partly in view"),
    "pedicle_height_estimated": (_GOOD, "no pedicle is labeled; its height was estimated from the body"),
    "superior_endplate_not_in_view": (_LIMITED, "the vertebra's superior endplate is not in view"),
    "inferior_endplate_not_in_view": (_LIMITED, "the vertebra's inferior endplate is not in view"),
    "vertebra_from_cord_label": (_LIMITED, "the vertebra is known only from the label of the cord beside it"),
    "orientation_from_scanner": (_LIMITED, "forward is the scanner's, as no vertebral body is labeled"),
    "endplates_touch": (_LIMITED, "the endplates touch or overlap"),
    "endplates_differ": (_LIMITED, "the facing endplates differ much in depth: spurs, or an outline that is not right; "
                                   "slip is not graded"),
    "walls_lean": (_GOOD, "the lines of the two back walls pass each other by less than a slip: the corners are apart "
                          "because the walls lean or have lips; not graded"),
    "slip_not_clear": (_LIMITED, "the shift is not clearly more than none, or than the usual one of this spine's other "
                                 "segments; not graded"),
    "rotations_do_not_match": (_POOR, "the two vertebrae would be turned against each other more than vertebrae can: "
                                      "an outline is wrong here"),
    "endplates_do_not_match": (_POOR, "the facing endplates do not fit each other in depth or in tilt: a body's "
                                      "outline is wrong here"),
    "widths_do_not_match": (_POOR, "the facing endplates differ much in width: the outline of a side is wrong here"),
    "slip_beyond_half": (_POOR, "the bodies would be more than half off each other, and not both are whole in view"),
    "rims_not_known": (_POOR, "the rims of the facing endplates cannot be told"),
    "body_cut": (_POOR, "the body is labeled out to the border of the scan, so that not all of it is in view"),
    "disc_derived": (_LIMITED, "the disc is not labeled; it was derived from the endplates, so what leaves its space "
                               "is not seen"),
    "slices_too_thick_for_type": (_POOR, "the slices are too thick to tell the shape of what leaves the disc space; "
                                         "look at axial images"),
    "displacement_not_in_view": (_POOR, "what leaves the disc goes on where the scan ends, or where not both bodies' "
                                        "rims are seen"),
    "disc_label_short": (_POOR, "the disc's label does not reach the rims of the endplates, so nothing beyond is seen"),
    "side_near_midline": (_GOOD, "the herniation's middle lies near the line between two zones"),
    "canal_not_labeled": (_LIMITED, "no canal is labeled here"),
    "modic_needs_t1": (_POOR, "the marrow's type needs a T1 scan besides the T2 scan"),
    "modic_needs_t2": (_POOR, "the marrow's type needs a T2 scan besides the T1 scan"),
    "muscle_cut": (_LIMITED, "the muscle reaches the border of the scan or of its label here"),
    "muscle_label_without_fat": (_GOOD, "fat between and around the bellies counts only as far as the label holds it"),
    "no_free_csf": (_POOR, "too little of the canal is seen to know the signal of the fluid"),
    "signal_unlike_t2": (_POOR, "most discs are brighter than a T2 spin echo shows sound ones, so the image is another "
                                "kind of scan than it was guessed to be"),
    "best_disc_worn": (_LIMITED, "even the best disc in view has lost signal, so more is lost than this says"),
    "arch_not_labeled": (_POOR, "the vertebral arch is not labeled, so that neither foramen nor recess is seen"),
    "foramen_not_in_view": (_POOR, "the foramen is open to the front or behind, or a pedicle is not in view"),
    "too_vague": (_LIMITED, "the uncertainty is as wide as the limit of stenosis itself; not graded"),
    "walls_meet": (_POOR, "what is labeled in front of and behind the foramen meets here, so that no width is known"),
    "wall_not_told": (_POOR, "a wall has a gap or a step here, so that the width is hardly known"),
    "facet_not_in_view": (_POOR, "no superior articular process is in view here"),
    "soft_walls": (_GOOD, "on T2, ligament and joint capsule are as dark as bone and count as wall, so that "
                         "a limit that is for bone may say too much"),
    "disc_beside_pedicle": (_POOR, "the disc's middle lies no higher than the lower pedicle"),
    "needs_t1": (_POOR, "fat is told on T1 images only"),
    "fat_not_told": (_POOR, "the signals of fat and of the canal's contents are too much alike, or not in view"),
    AREA_CUTOFF: (_GOOD, "the cut-offs are for the dural sac; the labeled canal may be wider"),
    AP_CUTOFF: (_GOOD, "the cut-offs are for the bony canal; the dural sac is narrower, so they may say too much"),
    PLACE_IN_DOUBT: (_LIMITED, "the published limits are for one part of the spine, and whether this is it is in "
                               "doubt; not graded by them"),
    NEAR_CUTOFF: (_GOOD, "the value lies within its uncertainty of a cut-off"),
    "femoral_heads_not_in_view": (_POOR, "the femoral heads are not both labeled and in view"),
    "c7_not_in_view": (_POOR, "C7 is not in view"),
    "lordosis_not_in_view": (_POOR, "the superior endplates of L1 and S1 are not both in view"),
    "vertical_from_scanner": (_GOOD, "vertical is the scanner's long axis"),
    "supine": (_GOOD, "measured lying down, which is not standing"),
    "range_as_seen": (_LIMITED, "the usual end vertebrae are not both in view"),
    "loss_not_clear": (_LIMITED, "the loss exceeds that of a mild fracture by less than its uncertainty; not graded"),
    "loss_against_own_posterior_height": (_GOOD, "relative to the vertebra's own posterior height"),
    "loss_against_neighbors": (_GOOD, "relative to what its neighbors' heights let expect"),
    "dense_material": (_POOR, "cement, metal or other dense material fills part of the place to measure"),
    "contrast_phase_unknown": (_GOOD, "contrast medium, if any was given, raises the density and was not corrected"),
    "contrast_guessed": (_LIMITED, "the image's contrast was guessed from the image"),
    "no_bias_correction": (_GOOD, "the coil's uneven sensitivity was not corrected"),
}


def quality_of(flags: Iterable[str]) -> Quality:
    """The worst that any of the flags says."""
    order = list(Quality)
    return max((FLAGS[flag][0] for flag in flags), key=order.index, default=_GOOD)


def meaning(flag: str) -> str:
    """The flag as a clause that people can read."""
    return FLAGS[flag][1]
