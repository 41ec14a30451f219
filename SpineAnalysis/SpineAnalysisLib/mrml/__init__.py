"""Nodes of a MRML scene <-> the library's types; the only room that knows MRML.

``volumes`` and ``segmentations`` go both ways, ``markups`` and ``tables`` show measurements, ``results`` files all
nodes of one analysis and takes them out again, ``edits`` keeps what people make of its segmentation, ``show`` puts them
together, ``views`` points the views at them, ``export`` writes files, and ``dicom`` finds those of a scan.  Everything
works on the scene that it is given, inside Slicer and in the headless host.
"""
