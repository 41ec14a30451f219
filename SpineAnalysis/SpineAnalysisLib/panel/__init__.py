"""The guided panel: the one room that knows Qt.

``panel`` puts the five steps together, each of which has a file of its own (``scan``, ``segment``, ``label``,
``measure`` with ``thresholds`` and ``symptom``, ``report``).  What they share is in ``session``: the parameter node,
what the scene remembers of its analysis, and where on the spine people are.  ``work`` runs what takes long beside the
scene, ``views`` arranges and points the views, ``tables`` fills tables.  Everything shown is read from the scene, so
that a scene that was saved and loaded shows the same panel.
"""
