"""Many studies on a Dask cluster: one of this computer, or one that is there already."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from .child import NEEDED, process_library
from .place import Place, Record
from .study import Study
from .work import Outcome, Settings, work_on

if TYPE_CHECKING:
    from distributed import Client

STUDY_GB = 3.0
"""What the built-in engine may need for a large scan (``Utilities/benchmark.py segment``): the memory that one worker
of this computer is planned with."""
_CONNECT_S = 30.0
_OWN_CLUSTER = {"distributed.scheduler.worker-saturation": 1.0, "distributed.worker.profile.enabled": False}
"""The profile of each worker is of a thread that waits, and takes more memory by the minute."""

Listener = Callable[[Outcome, int], None]
"""``listener(outcome, count)``: what became of a study, and how many are finished."""


def local_workers(cores: int, gigabytes: float) -> int:
    """How many studies at once a computer has cores and memory for."""
    return max(1, min(cores, int(gigabytes / STUDY_GB)))


def machine() -> tuple[int, float]:
    """Cores and gigabytes that this process may use, as a container may allow it fewer than there are.

    :raises InputError: where Dask is not installed.
    """
    process_library()
    try:
        from dask.system import CPU_COUNT
        from distributed.system import MEMORY_LIMIT
    except ImportError:
        raise InputError(NEEDED) from None
    return int(CPU_COUNT), MEMORY_LIMIT / 1e9


@contextlib.contextmanager
def local_client(workers: int) -> "Iterator[Client]":
    """A cluster of this computer, gone when the block ends: a worker is a process that works at one study at a time.

    Workers are not limited in memory themselves: what needs it is the study's process, which is.  No study waits at a
    worker, so that none is held to have been at work where a worker dies.
    """
    machine()
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set(_OWN_CLUSTER), \
            tempfile.TemporaryDirectory(prefix="spine-analysis-dask-", ignore_cleanup_errors=True) as scratch, \
            LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, scheduler_port=0,
                         host="127.0.0.1", dashboard_address="127.0.0.1:0", local_directory=scratch,
                         silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
        yield client


@contextlib.contextmanager
def remote_client(address: str) -> "Iterator[Client]":
    """A cluster that runs already.

    :param address: of its scheduler, as ``tcp://host:8786``, or its scheduler file.
    :raises InputError: where nothing answers there.
    """
    machine()
    from distributed import Client

    try:
        client = Client(scheduler_file=address, timeout=_CONNECT_S) if address.endswith(".json") else \
            Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise InputError(f"No Dask scheduler answers at {address} ({type(error).__name__}); check the address."
                         ) from None
    with client:
        yield client


def run_all(studies: Sequence[Study], settings: Settings, client: "Client", listener: Listener) -> list[Outcome]:
    """Every study once, on whatever workers there are; one that was on a worker that is gone goes to another.

    :return: in the order of the studies.
    """
    from distributed import as_completed

    place = Place(settings.output)
    by_future = {client.submit(work_on, study, settings, pure=False): study for study in studies}
    found: dict[str, Outcome] = {}
    for future in as_completed(list(by_future)):
        study = by_future.pop(future)
        error = future.exception()
        outcome = future.result() if error is None else _lost(study, error, place)
        found[study.label] = outcome
        listener(outcome, len(found))
    return [found[study.label] for study in studies]


def _lost(study: Study, error: BaseException, place: Place) -> Outcome:
    """What Dask could not finish: every worker that had it died, or cannot even begin."""
    from distributed.scheduler import KilledWorker

    reason = "Every worker that had it was lost; look into the workers' logs, or give them more memory." \
        if isinstance(error, KilledWorker) else study.anonymous(f"The worker failed: {type(error).__name__}: {error}")
    place.record(study, Record("", "failed", reason, study.stem))
    return Outcome(study.label, "failed", reason)
