"""Spine segmentation, labeling and measurement, independent of Slicer's application.

Rooms, each importing only from those before it::

    anatomy, volume, errors, progress
    geometry        frames, planes, curves, cross-sections
    schemes         label schemes of other programs -> anatomy
    spine           the labeled spine as a model
    segmentation, labeling, measurements
    analysis        volumes in -> Spine, measurements, provenance out
    reading, mrml, report
    cohort          many studies on a cluster
    headless, cli

Nothing below ``mrml`` imports ``slicer``, ``qt`` or ``ctk``.  Points are in RAS millimeters.
"""

__version__ = "0.1.0"
