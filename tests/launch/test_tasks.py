"""Which tasks a command has, by what real launchers say of them, and which GPUs each takes."""

import pytest
import torch

from kdmri.launch.tasks import Tasks, find_tasks, visible_devices

SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
"""Of the last task of `srun --nodes=2 --ntasks-per-node=2`, SLURM 22.05."""

TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}
"""Of the last process of `torchrun --nproc-per-node=2`, PyTorch 2.13."""


def test_tasks_of_slurm() -> None:
    last = find_tasks(SLURM)
    assert (last.index, last.count, last.local, last.beside) == (3, 4, 1, 2)
    assert last.address == "n1"
    assert find_tasks(SLURM | {"SLURM_PROCID": "0"}).port == last.port
    assert find_tasks(SLURM | {"SLURM_JOB_ID": "18"}).port != last.port


def test_tasks_of_torchrun() -> None:
    assert find_tasks(TORCHRUN) == Tasks(1, 2, 1, 2, "localhost", 29500, hosted=True)


def test_batch_script_without_srun_is_one_task() -> None:
    assert find_tasks({"SLURM_JOB_ID": "17", "SLURM_NTASKS": "4"}).leads


@pytest.mark.parametrize(
    ("tasks", "processes", "visible"),
    [
        (Tasks(), 2, None),  # alone, it may take what it wants
        (Tasks(index=1, count=2, local=1), 2, "2,3"),
        (Tasks(index=3, count=4, local=3), 1, "3"),
        (Tasks(local=4), 2, "0,1"),  # the fifth worker of joblib takes the first one's turn
        (Tasks(index=1, count=2, local=1), 3, None),  # no more than it needs
    ],
)
def test_tasks_of_a_machine_take_different_gpus(
    monkeypatch: pytest.MonkeyPatch, tasks: Tasks, processes: int, visible: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices(tasks, processes).get("CUDA_VISIBLE_DEVICES") == visible
