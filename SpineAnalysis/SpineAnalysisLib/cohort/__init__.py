"""Many studies: what to analyze, each in a process of its own on a Dask cluster, and what came out of all of them.

==============  ====================================================================
``study``       one study; the three kinds of input that studies come from are
                ``bids``, ``folders`` and ``lists``
``work``        one study on a worker: in a child (``child``) with limits, published whole by ``place``
``leave``       what that child leaves, under BIDS names
``cluster``     the studies on a cluster, local or anybody's
``rows``        the tidy table of all; ``numbers``, ``figures`` and ``page`` make the report of it
``command``     both levels, as the command line asks for them
==============  ====================================================================

Dask, psutil and pyarrow are imported by what needs them: they come with the extra ``cohort``.
"""
