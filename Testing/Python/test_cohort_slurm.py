"""A cohort on a SLURM cluster, as docs/COHORTS.md shows it: the scheduler is Debian's, of one node, for these tests."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import SpineAnalysisLib
from SpineAnalysisLib.cohort.cluster import remote_client, run_all
from SpineAnalysisLib.cohort.place import Place
from SpineAnalysisLib.cohort.study import Scan, Study
from SpineAnalysisLib.cohort.work import Settings

dask_jobqueue = pytest.importorskip("dask_jobqueue")

PROGRAM = (sys.executable, str(Path(__file__).with_name("stand_in_study.py")))
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
WAIT_S = 60.0

pytestmark = [
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="a program of SLURM is missing"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may start a node of SLURM")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path) -> str:
    node = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    return f"""ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={node} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running cluster with an idle node; skips where its programs do not run in this environment."""
    folder = tmp_path / "slurm"
    folder.mkdir(mode=0o755)
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config.write_text(configuration(folder))
    monkeypatch.setenv("SLURM_CONF", str(config))
    commands = (["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
                 f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"],
                ["slurmctld", "-D", "-f", str(config)], ["slurmd", "-D", "-f", str(config)])
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        for command in commands:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(end, process)
            time.sleep(1.0)
        last = time.monotonic() + WAIT_S
        while "idle" not in said("sinfo", "-h", "-o", "%t"):
            if time.monotonic() > last:
                pytest.skip(f"SLURM does not run here: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.5)
        yield folder


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout


def end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_jobs_do_the_studies_and_a_canceled_job_loses_none(slurm: Path, tmp_path: Path) -> None:
    every = []
    for number in range(6):
        scan = tmp_path / f"{number}.txt"
        scan.write_text("sleep 1.5" if number else "bad", "utf-8")
        every.append(Study(str(number), scans=(Scan(scan),), stem=f"sub-{number}"))
    settings = Settings(tmp_path / "out", program=PROGRAM)
    Place(settings.output).open()
    library = str(Path(SpineAnalysisLib.__file__).parents[1])
    canceled: list[str] = []

    def cancel_one(_outcome: object, count: int) -> None:
        if count == 2:
            canceled.append(said("squeue", "-h", "-o", "%i", "--states=RUNNING").split()[0])
            subprocess.run(["scancel", canceled[0]], check=True)

    cluster = dask_jobqueue.SLURMCluster(
        queue="normal", cores=1, processes=1, memory="1 GB", walltime="00:10:00", log_directory=str(slurm / "logs"),
        worker_extra_args=["--memory-limit", "0"], job_script_prologue=[f"export PYTHONPATH={library}"],
        scheduler_options={"dashboard_address": ":0"})
    with cluster, remote_client(cluster.scheduler_address) as client:
        cluster.scale(jobs=2)
        outcomes = run_all(every, settings, client, cancel_one)
    assert len(canceled) == 1
    assert outcomes[0].state == "failed"
    assert {outcome.state for outcome in outcomes[1:]} <= {"done", "unchanged"}
    assert all(Place(settings.output).recorded(study) is not None for study in every)
