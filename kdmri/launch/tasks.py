"""Processes of one command: the tasks that a cluster starts, and one process a device for a stage.

A command may run as one task, or as several that a cluster (`srun`), `torchrun` or a launcher
started alike, on one machine or on many. Task 0 leads: it alone plans, claims directories and
measures. For each stage that needs several processes it orders the other tasks to start their share
of them, so that every stage has fresh processes and no rank is left behind for the next one.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

RANK_VARIABLES = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "ROLE_NAME"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
PARENT = "KDMRI_PARENT"
JOIN = timedelta(minutes=10)  # tasks of one job may start minutes apart
FOREVER = timedelta(days=365)
PARTING_SECONDS = 30.0


@dataclass(frozen=True)
class Tasks:
    """The tasks in which one command was started.

    Attributes:
        index: of this task; 0 leads.
        count: of all tasks.
        local: index of this task among those that share its machine's devices.
        beside: how many those are.
        address: of the machine of task 0.
        port: on which task 0 gives its orders.
        hosted: whether `torchrun` already serves a store there.
    """

    index: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    hosted: bool = False

    @property
    def leads(self) -> bool:
        """Whether this task plans, claims and measures."""
        return self.index == 0


@dataclass(frozen=True)
class Share:
    """What every task of a team has to start for one stage.

    Attributes:
        job: file of `kdmri.training.run` as text.
        tasks: that take part, the first ones.
        processes: of each task, one a device.
        address: of the machine of task 0.
        port: where the processes meet.
    """

    job: str
    tasks: int
    processes: int
    address: str
    port: int


def find_tasks(environment: Mapping[str, str] = os.environ) -> Tasks:
    """Read from the environment how many tasks there are and which one this is.

    `torchrun` goes before SLURM, since it can run below it; a SLURM batch script that starts the
    command without `srun` is one task, whatever was allocated.
    """
    env = environment
    if "RANK" in env and "WORLD_SIZE" in env:
        return Tasks(
            index=int(env["RANK"]),
            count=int(env["WORLD_SIZE"]),
            local=int(env.get("LOCAL_RANK", 0)),
            beside=int(env.get("LOCAL_WORLD_SIZE", 1)),
            address=env["MASTER_ADDR"],
            port=int(env["MASTER_PORT"]),
            hosted=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        )
    if int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        step = int(env["SLURM_JOB_ID"]) + int(env["SLURM_STEP_ID"])
        return Tasks(
            index=int(env["SLURM_PROCID"]),
            count=int(env["SLURM_STEP_NUM_TASKS"]),
            local=int(env["SLURM_LOCALID"]),
            beside=int(env["SLURM_STEP_NUM_TASKS"]) // int(env["SLURM_STEP_NUM_NODES"]),
            address=env.get("MASTER_ADDR") or _first_node(env["SLURM_STEP_NODELIST"]),
            port=int(env.get("MASTER_PORT") or _port_of(step)),
        )
    if int(env.get("SUBMITIT_LOCAL_NTASKS", 1)) > 1:
        return Tasks(
            index=int(env["SUBMITIT_LOCAL_GLOBALID"]),
            count=int(env["SUBMITIT_LOCAL_NTASKS"]),
            local=int(env["SUBMITIT_LOCAL_LOCALID"]),
            beside=int(env["SUBMITIT_LOCAL_NTASKS"]),
            port=_port_of(int(env["SUBMITIT_LOCAL_JOB_ID"])),
        )
    worker = multiprocessing.current_process().name.partition("LokyProcess-")[2]
    return Tasks(local=int(worker) - 1 if worker.isdigit() else 0)


class _Orders:
    """What the first task tells the others, in order, through a store that it serves."""

    def __init__(self, tasks: Tasks) -> None:
        from torch.distributed import TCPStore

        serves = tasks.leads and not tasks.hosted
        self._store = TCPStore(
            tasks.address, tasks.port, is_master=serves, wait_for_workers=False, timeout=JOIN
        )
        self._given = 0

    def give(self, order: Mapping[str, Any]) -> None:
        self._store.set(f"kdmri/order/{self._given}", json.dumps(order))
        self._given += 1

    def take(self) -> dict[str, Any]:
        key = f"kdmri/order/{self._given}"
        self._store.wait([key], FOREVER)
        self._given += 1
        return json.loads(self._store.get(key))

    def acknowledge(self) -> int:
        """Tell the first task that its last order arrived; gives how many did."""
        return int(self._store.add(f"kdmri/heard/{self._given}", 1))

    def wait_for(self, others: int) -> None:
        """Wait until the other tasks have the last order; one that died is not waited for long."""
        limit = time.monotonic() + PARTING_SECONDS
        while self._store.add(f"kdmri/heard/{self._given}", 0) < others:
            if time.monotonic() > limit:
                return
            time.sleep(0.05)


@cache
def _orders(tasks: Tasks) -> _Orders:
    return _Orders(tasks)


@contextmanager
def leading(tasks: Tasks) -> Iterator[None]:
    """Lead the other tasks, if there are any, for the length of a block; then let them go on."""
    if tasks.count == 1:
        yield
        return
    orders = _orders(tasks)
    try:
        yield
    finally:
        orders.give({})
        orders.wait_for(tasks.count - 1)


def follow(tasks: Tasks) -> None:
    """Do what task 0 orders until it ends; what fails is reported there."""
    orders = _orders(tasks)
    while order := orders.take():
        share = Share(**order)
        if tasks.index < share.tasks:
            start_share(share, tasks)
    orders.acknowledge()


def start_together(job: str, world: int, tasks: Tasks) -> int:
    """Start the processes of a stage on all tasks that take part and wait for those of this one.

    Args:
        job: file of `kdmri.training.run` as text.
        world: processes of all tasks together; a multiple of the tasks, or fewer than there are.
        tasks: of this command; this is the first one.

    Returns:
        The exit status of this task's processes.
    """
    team = min(tasks.count, world)
    share = Share(job, team, world // team, tasks.address, _free_port(tasks.address))
    if tasks.count > 1:
        _orders(tasks).give(asdict(share))
    return start_share(share, tasks)


def start_share(share: Share, tasks: Tasks) -> int:
    """Start one task's share of a stage's processes and wait for their end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(share.job)
        command = [
            sys.executable,
            "-m",
            "kdmri.launch.tasks",
            f"--nproc-per-node={share.processes}",
        ]
        command += [f"--nnodes={share.tasks}", f"--node-rank={tasks.index}"]
        command += [f"--master-addr={share.address}", f"--master-port={share.port}"]
        command += ["-m", "kdmri.training.run", str(path)]
        kept = {k: v for k, v in os.environ.items() if not _tells_a_rank(k)}
        threads = max(1, _cpus() // (share.processes * min(tasks.beside, share.tasks)))
        kept.setdefault("OMP_NUM_THREADS", str(threads))
        kept |= visible_devices(tasks, share.processes)
        return subprocess.run(command, env=kept, check=False).returncode


def visible_devices(tasks: Tasks, processes: int) -> dict[str, str]:
    """Return each task of a machine GPUs of its own where all tasks see all of them.

    Returns:
        `CUDA_VISIBLE_DEVICES` for this task, or nothing where it has to take what it sees.
    """
    import torch

    seen = torch.cuda.device_count()
    alone = tasks.count == 1 and not tasks.local
    if alone or seen < 2 * processes:
        return {}
    first = tasks.local % (seen // processes) * processes
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    chosen = (names or [str(number) for number in range(seen)])[first : first + processes]
    return {"CUDA_VISIBLE_DEVICES": ",".join(chosen)}


def own_gpu(tasks: Tasks) -> int:
    """Choose a GPU for a task that needs one, so that workers of one machine use different ones."""
    import torch

    return tasks.local % max(1, torch.cuda.device_count())


def die_with_parent() -> None:
    """Have the system end this process when its parent ends, however that dies (on Linux).

    Else the processes of a stage would go on without the one that claimed its directory. A
    cluster's warning before the end of a job, which it sends to all processes, is left to the
    parent, which has the job queued again.
    """
    for warning in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, signal.SIG_IGN)
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
        if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
            sys.exit(1)  # it died before the system was told
    os.environ[PARENT] = str(os.getpid())


def _cpus() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _tells_a_rank(variable: str) -> bool:
    return variable in RANK_VARIABLES or variable.startswith("TORCHELASTIC_")


def _first_node(nodes: str) -> str:
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    return SLURMEnvironment.resolve_root_node_address(nodes)


def _port_of(job: int) -> int:
    """Return all tasks of a job the same port, and two jobs of a machine different ones."""
    return 20000 + job % 10000


def _free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    os.environ[PARENT] = str(os.getppid())
    die_with_parent()
    from torch.distributed.run import main

    main(sys.argv[1:])
