"""The command line."""

import argparse
import contextlib
import errno
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .anatomy import Kind, Level
from .errors import Cancelled, InputError
from .progress import Progress, part, silent, step
from .terminal import ended_tidily, ended_with_parent, libraries_silenced, shown

# What computes is imported by the commands, so that help and usage errors come at once.
if TYPE_CHECKING:
    from .analysis import Analysis
    from .labeling.label import Anchor
    from .reading.image import ReadImage
    from .reading.segmentation import ReadSegmentation
    from .report.dicom.source import Source
    from .schemes import LabeledInput
    from .segmentation.hints import Hint
    from .spine import Contrast
    from .volume import FloatArray

DONE, INTERNAL_ERROR, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
REPORT = "report.html"
_CONTRASTS = ("T1", "T2", "STIR", "CT")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FINDINGS_SHOWN = 5
_MOSTLY = 0.9


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    :return: 0 done, 1 internal error, 2 bad input, 130 interrupted; wrong usage exits with 2.
    """
    return _finished(_parser().parse_args(argv))


def bids(argv: Sequence[str] | None = None) -> int:
    """Analyze a BIDS data set, with the command line that BIDS Apps have.

    :return: as :func:`main`; 3 where some studies failed.
    """
    from .cohort.command import bids_parser

    return _finished(bids_parser().parse_args(argv))


def _finished(arguments: argparse.Namespace) -> int:
    """The exit code, once the command has run."""
    verbose = getattr(arguments, "verbose", False)
    try:
        with ended_tidily(), contextlib.nullcontext() if verbose else libraries_silenced():
            return arguments.command(arguments) or DONE
    except InputError as error:
        return _fail(BAD_INPUT, str(error))
    except MemoryError:
        return _fail(BAD_INPUT, "There is not enough memory for this scan; crop or resample it, or use a computer with "
                                "more memory.")
    except (KeyboardInterrupt, Cancelled):
        return _fail(INTERRUPTED, getattr(arguments, "interrupted", "Interrupted; nothing was written."))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return _fail(BAD_INPUT, f"The results cannot be written ({error.strerror}); choose another folder.")
        if verbose:
            traceback.print_exc()
        return _fail(INTERNAL_ERROR, f"Internal error, please report it: {type(error).__name__}: {error}"
                                     f"{'' if verbose else ' (--verbose shows where)'}")


def _fail(code: int, message: str) -> int:
    print("spine-analysis:", " ".join(message.split()), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("spine-analysis", description="From a scan and its segmentation to a labeled, "
                                     "measured spine.  Not a medical device.")
    parser.add_argument("--version", action="version", version=f"spine-analysis {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="analyze one scan")
    run.set_defaults(command=_run)
    add = run.add_argument
    add("image", nargs="*", type=Path, metavar="IMAGE",
        help="NIfTI, NRRD or MetaImage file, DICOM folder, or the DICOM files of one series; may be left out where a "
             "segmentation is given, for what needs no intensities")
    add("--also", nargs="+", action="extend", default=[], metavar="[CONTRAST=]SCAN",
        help="further scans of the same visit: files, or DICOM folders with all their series; a contrast before it is "
             "for scans that do not tell, as in T1=scan.nii.gz")
    add("--also-segmentation", type=Path, nargs="+", action="extend", default=[], metavar="FILE",
        help="segmentations of further scans, each on its scan's grid, for those that were not made in one session "
             "with the first")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add("--segmentation", type=Path, nargs="+", action="extend", default=[], metavar="FILE",
        help="label map, Slicer segmentation (.seg.nrrd) or folder of masks; several files of one program are combined")
    add("--scheme", default="auto", metavar="NAME|TABLE",
        help="what its labels mean: a name of 'spine-analysis schemes', or a table of value and name (default: auto)")
    add("--engine", metavar="NAME", help="what segments where no segmentation is given: a name of 'spine-analysis "
                                         "engines' (default: builtin, which needs nothing else)")
    add("--point", nargs="+", action="extend", default=[], metavar="WORD@R,A,S",
        help="help for the built-in engine, in RAS mm: add@ in a vertebra that it missed, split@ between two that it "
             "took for one, merge@ where it cut one in two, remove@ in what is none, region@ along the spine")
    add("--time-limit", type=float, metavar="MINUTES", help="end an engine that runs outside after so long")
    add("--memory-limit", type=float, metavar="GB", help="end an engine that runs outside at so much memory")
    add("--series", metavar="NUMBER|UID", help="DICOM series, where a folder holds several")
    add("--contrast", choices=_CONTRASTS, help="of the scan, where the file does not tell")
    add("--lowest", choices=[str(level) for level in Level], metavar="LEVEL",
        help="level of the lowest vertebra, for segmentations that only count")
    add("--anchor", nargs="+", action="extend", default=[], metavar="LEVEL@R,A,S",
        help="a vertebra that you know, by a point in its body in RAS mm, as in L5@1.5,-20,30; names the others")
    add("--count-from", choices=["C2", "sacrum", "ribs"],
        help="where to count levels from, instead of the labels' names")
    add("--symptom", default="", metavar="'ROOT SIDE'",
        help="a painful dermatome, as in 'L5 left', to list the levels and sides that could explain it")
    add("--dicom", action="store_true",
        help="write DICOM segmentation, structured report, document and key images too; needs a DICOM scan")
    add("--deidentify", action="store_true", help="let the DICOM results name nobody and lie in a study of their own")
    add("--only", nargs="+", action="extend", metavar="FAMILY", help="measure these families only, as in canal disc")
    add("--bids", metavar="STEM", help=argparse.SUPPRESS)  # how cohorts run each of their studies
    add("--overwrite", action="store_true", help="replace results of an earlier run")
    loudness = run.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="print only where the results lie")
    loudness.add_argument("--verbose", action="store_true", help="print everything, and where an error arose")
    series = commands.add_parser("series", help="list the scans in a DICOM folder, and which to analyze together")
    series.set_defaults(command=_series)
    series.add_argument("folder", type=Path, metavar="FOLDER")
    from .cohort.command import add_cohort
    add_cohort(commands.add_parser("cohort", help="analyze many studies, and report on all of them together"))
    commands.add_parser("schemes", help="list the label schemes").set_defaults(command=_schemes)
    commands.add_parser("engines", help="list programs that segment").set_defaults(command=_engines)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from .results import output_folder

    if not arguments.image and not arguments.segmentation:
        raise InputError("There is nothing to analyze; pass a scan, a segmentation of it with --segmentation, or both.")
    if arguments.bids:
        ended_with_parent()
    source = _dicom_source(arguments) if arguments.dicom else None
    listening = contextlib.nullcontext(silent) if arguments.quiet else shown()
    with output_folder(arguments.output, arguments.overwrite) as folder, listening as progress:
        analysis = _analyze(arguments, part(progress, 0.0, 0.6))
        if arguments.bids:
            _write_derivative(analysis, folder, arguments.bids)
        else:
            _write(analysis, folder, part(progress, 0.6, 0.9))
        missing = () if source is None else _write_dicom(analysis, source, folder, part(progress, 0.9, 1.0))
    if arguments.quiet:
        print(arguments.output)
    else:
        _print_summary(analysis, arguments.output)
        for sentence in missing:
            print("Note:", sentence)


def _dicom_source(arguments: argparse.Namespace) -> "Source":
    """The scan that DICOM results will belong to, before anything is computed."""
    from .reading.dicom import series_files
    from .report.dicom.source import Source

    found = Source.of_files(series_files(arguments.image, arguments.series))
    return found.deidentified() if arguments.deidentify else found


def _write_dicom(analysis: "Analysis", source: "Source", folder: Path, progress: Progress) -> tuple[str, ...]:
    from .report.dicom.write import write_dicom

    return write_dicom(analysis, source, folder / REPORT, folder / "dicom", progress)


def _write(analysis: "Analysis", folder: Path, progress: Progress) -> None:
    """All files of the results."""
    # Slicer's libraries take seconds to load: bad input is told before.
    from .mrml.export import write_scene, write_segmentation
    from .report.html import write_report
    from .results import write_measurements

    step(progress, 0.0, "Writing measurements")
    write_measurements(analysis, folder)
    write_segmentation(analysis, folder / "segmentation.seg.nrrd")
    write_scene(analysis, folder / "scene.mrb", progress=part(progress, 0.1, 0.6))
    step(progress, 0.6, "Writing the report")
    write_report(analysis, folder / REPORT)
    step(progress, 1.0, "Done")


def _write_derivative(analysis: "Analysis", folder: Path, stem: str) -> None:
    from .cohort.leave import write_derivative

    write_derivative(analysis, folder, stem)


def _analyze(arguments: argparse.Namespace, progress: Progress) -> "Analysis":
    """Everything up to the files."""
    from .analysis import analyze
    from .labeling.label import Numbering
    from .labeling.naming import lowest_named
    from .reading.further import read_further
    from .reading.image import read_image
    from .reading.segmentation import read_segmentation, share_inside
    from .results import versions
    from .segmentation.registry import labels_of

    step(progress, 0.0, "Reading")
    only = _families(arguments.only)
    image = read_image(arguments.image, arguments.series) if arguments.image else None
    hint = (arguments.contrast, "command line") if arguments.contrast else image.hint if image is not None else None
    anchors = [_anchor(text) for text in arguments.anchor]
    segmentations = [read_segmentation(path) for path in arguments.segmentation]
    made: dict[str, Any] | None = None
    step(progress, 0.1, "Recognizing labels" if segmentations else "Segmenting")
    if segmentations:
        labeled = _understood(segmentations, arguments.scheme, Level[arguments.lowest] if arguments.lowest else None)
        anchors = anchors or [*(lowest_named(labeled.labels) if arguments.lowest and not labeled.levels_known else ())]
    else:
        assert image is not None
        labeled, made = _segmented(arguments, image, hint[0] if hint else None, part(progress, 0.1, 0.6))
        anchors += [_lowest(labeled, Level[arguments.lowest])] if arguments.lowest else []
    others = [_understood([read_segmentation(path)], arguments.scheme, None).labels
              for path in arguments.also_segmentation]
    further = read_further(arguments.also, image, others, optional=bool(arguments.bids))
    notes = [note for source in (image, *segmentations, labeled, further) if source is not None
             for note in source.notes]
    inputs = [{"role": "segmentation", "format": s.format, "sha256": s.sha256} for s in segmentations]
    if image is not None:
        inputs.insert(0, {"role": "image", "format": image.description, "sha256": image.sha256})
        share = share_inside(image.volume, labeled.labels)
        if share < _MOSTLY:
            notes.append(f"Only {share:.0%} of the segmentation lies inside the image.")
    inputs += further.inputs
    return analyze(
        image.volume if image is not None else None, labeled.labels, contrast=hint[0] if hint else None,
        levels_known=labeled.levels_known, canal_means=labeled.canal_means, notes=notes, anchors=anchors,
        numbering=Numbering(arguments.count_from) if arguments.count_from else None,
        further=further.scans, frame=image.frame if image is not None else "",
        segment=labels_of, symptom=arguments.symptom, only=only,
        progress=part(progress, 0.2 if made is None else 0.6, 1.0),
        provenance={"versions": versions(), "inputs": inputs, "scheme": labeled.scheme, "engine": made,
                    "contrast_known_by": hint[1] if hint else None})


def _families(names: Sequence[str] | None) -> Sequence[str] | None:
    """:raises InputError: for a family that is not there."""
    from .measurements.registry import families

    known = [family.name for family in families()]
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f"There is no family {unknown[0]}; the known ones are {', '.join(known)}.")
    return names


def _segmented(arguments: argparse.Namespace, image: "ReadImage", contrast: "Contrast | None", progress: Progress,
               ) -> "tuple[LabeledInput, dict[str, Any]]":
    """The scan's structures by an engine, and the engine's provenance."""
    from .segmentation.protocol import Limits
    from .segmentation.registry import DEFAULT, engine_named

    engine = engine_named(arguments.engine or DEFAULT)
    limits = Limits(gigabytes=arguments.memory_limit)
    if arguments.time_limit is not None:
        limits = replace(limits, seconds=60.0 * arguments.time_limit)
    if engine.installed and engine.terms and not arguments.quiet:
        print(engine.terms, file=sys.stderr, flush=True)
    found = engine.segment(image.volume, contrast, hints=_hints(arguments.point), limits=limits, progress=progress)
    return found.labeled, dict(found.provenance)


def _lowest(labeled: "LabeledInput", level: Level) -> "Anchor":
    """What people call the lowest vertebra, as a named point in it."""
    import numpy as np

    from .labeling.label import Anchor

    labels = labeled.labels
    lowest = max(found for found in labels.levels if found is not Level.S1)
    body = np.argwhere(labels.mask(labels.values((Kind.BODY, Kind.VERTEBRA), lowest)))
    return Anchor(level, labels.to_ras(body.mean(axis=0)))


def _hints(texts: Sequence[str]) -> "tuple[Hint, ...]":
    """``split@1.5,-20,30`` and the like as help for an engine."""
    from .segmentation.hints import hints_from_labels

    return hints_from_labels([(text.partition("@")[0], _place(text)) for text in texts])


def _place(text: str) -> "FloatArray":
    """The RAS point after the @."""
    import numpy as np

    try:
        return np.array([float(x) for x in text.partition("@")[2].split(",")]).reshape(3)
    except ValueError:
        raise InputError(f"{text} names no place; write a word and a point, as in split@1.5,-20,30.") from None


def _anchor(text: str) -> "Anchor":
    """``L5@1.5,-20,30`` as a named point."""
    import numpy as np

    from .labeling.label import Anchor

    name, _, place = text.partition("@")
    try:
        return Anchor(Level[name.upper()], np.array([float(x) for x in place.split(",")]).reshape(3))
    except (KeyError, ValueError):
        raise InputError(f"{text} names no vertebra; write a level and a point, as in L5@1.5,-20,30.") from None


def _understood(segmentations: "Sequence[ReadSegmentation]", scheme: str, lowest: Level | None) -> "LabeledInput":
    """The segmentations as one label map of structures."""
    from .reading.names import read_names
    from .schemes import SCHEMES, merge_segments, understand

    first, *others = segmentations
    if first.volume is None and not others:
        return merge_segments(first.segments, lowest, first.derived)
    volumes = [s.volume for s in segmentations if s.volume is not None]
    if len(volumes) < len(segmentations) or len(volumes) > 2:
        raise InputError("These segmentations cannot be combined; pass one, or an instance and a subregion mask.")
    table = Path(scheme)
    given = scheme not in ("auto", *SCHEMES) and table.is_file()
    names = read_names(table) if given else first.names
    subregions = volumes[1] if others else None
    return understand(volumes[0], "auto" if given else scheme, names, subregions, lowest)


def _print_summary(analysis: "Analysis", output: Path) -> None:
    hidden = len(analysis.findings) - _FINDINGS_SHOWN
    for finding in analysis.findings[:_FINDINGS_SHOWN]:
        print(finding)
    if hidden > 0:
        print(f"... and {hidden} more.")
    for explanation in analysis.explanations:
        print(f"Pain of {explanation.symptom} could come from {explanation.sentence}")
    for doubt in analysis.doubts:
        print("Note:", doubt)
    print("Report:", output / REPORT)


def _series(arguments: argparse.Namespace) -> None:
    from .reading.image import check_exists
    from .reading.study import study_of

    check_exists(arguments.folder)
    study = study_of(arguments.folder)
    for scan in study.listed:
        size = " x ".join(map(str, scan.shape)) + " voxels of " + " x ".join(f"{s:.2g}" for s in scan.spacing) + " mm"
        remarks = {"contrast medium": scan.contrast_medium, "not of the spine": scan.spine is False,
                   "localizer": scan.localizer}
        about = [scan.contrast or "unknown contrast", scan.plane, size, *(x for x, holds in remarks.items() if holds)]
        print(f"{scan.name:10}{scan.description or '(no description)'}: {', '.join(about)}")
    for path in study.unreadable:
        print("Cannot be read:", path.name)
    print("To analyze together:", ", ".join(study.proposed) or "none; no scan of the spine was recognized")


def _schemes(_arguments: argparse.Namespace) -> None:
    from .schemes import SCHEMES

    for scheme in SCHEMES.values():
        print(f"{scheme.name:34}{scheme.title}")


def _engines(_arguments: argparse.Namespace) -> None:
    from .segmentation.registry import engines

    for engine in engines().values():
        state = "installed" if engine.installed else f"get it by: {engine.install}"
        print(f"{engine.name:18}{engine.title}: {engine.scans}; {engine.license}; {engine.url}\n{'':18}"
              f"{engine.hardware}; {state}")


if __name__ == "__main__":
    sys.exit(main())
