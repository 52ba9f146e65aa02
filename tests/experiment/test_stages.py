"""When a directory is used again, gone on with, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdmri.config.identity import file_digest
from kdmri.errors import ConfigurationError, StageConflictError
from kdmri.experiment import stages
from tests.conftest import plan


@pytest.mark.usefixtures("hydra")
def test_directory_of_a_version_that_knew_fewer_settings_goes_on(tmp_path: Path) -> None:
    paths = f"paths.experiments={tmp_path}"
    stage = plan(paths)["kd"]
    kept = {k: v for k, v in stage.experiment.items() if k != "intermediate_supervision"}
    record = {"experiment": kept, "circumstances": stage.circumstances, "finished": True}
    stage.directory.mkdir(parents=True)
    (stage.directory / "stage.json").write_text(json.dumps(record))
    stage.check()
    changed = replace(plan(paths, "intermediate_supervision=0.2")["kd"], directory=stage.directory)
    with pytest.raises(StageConflictError, match=r"supervision was 0\.0, now 0\.2"):
        changed.check()


def leave(stage: stages.Stage, **more: object) -> None:
    """Write the record that a finished training leaves."""
    record = {"experiment": stage.experiment, "circumstances": stage.circumstances}
    stage.directory.mkdir(parents=True, exist_ok=True)
    description = json.dumps({**record, "finished": True, **more})
    (stage.directory / "stage.json").write_text(description)
    stage.checkpoint.touch()


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    "words",
    [
        ("scheduler=cosine",),
        ("scheduler=constant",),
        ("experiment=best", "augmentation=flips"),
        ("experiment=best", "optimizer=adam"),
        ("architecture@teacher=unet",),
        ("dataset=knee", "mask_rule@dataset.mask=gaussian_lines"),
    ],
)
def test_choice_of_fewer_settings_than_the_shipped_one_goes_on(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    paths = f"paths.experiments={tmp_path}"
    for stage in plan(*words, paths).values():
        leave(stage)
        stage.check()
        assert stage.differences == []


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("override", "description"),
    [
        ("+trainer.limit_train_batches=2", "trainer.limit_train_batches was None, now 2"),
        ("trainer.precision=bf16-mixed", "trainer.precision was 32-true, now bf16-mixed"),
        ("+trainer.max_steps=5", "trainer.max_steps was None, now 5"),
        ("+trainer.accumulate_grad_batches=4", "accumulate_grad_batches was None, now 4"),
        ("+trainer.gradient_clip_algorithm=value", "clip_algorithm was None, now value"),
        ("+trainer.check_val_every_n_epoch=2", "check_val_every_n_epoch was None, now 2"),
        ("stage.plan.feature.method.scheduler_every=2", "scheduler_every was 1, now 2"),
        ("stage.plan.feature.network=teacher", "stage.network was student, now teacher"),
        ("stage.plan.feature.monitor=val/l1", "stage.monitor was val/loss, now val/l1"),
        ("stage.plan.feature.method.weights.imitation=1", "weights.imitation was 0.0, now 1"),
    ],
)
def test_what_changes_the_training_is_no_reuse(
    tmp_path: Path, override: str, description: str
) -> None:
    paths = f"paths.experiments={tmp_path}"
    leave(plan(paths)["feature"])
    changed = plan(paths, override)["feature"]
    with pytest.raises(StageConflictError, match=description):
        changed.check()


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("choice", ["sft", "privileged"])
def test_what_a_stage_takes_from_another_ones_definition_is_compared(
    tmp_path: Path, choice: str
) -> None:
    words = (f"stage={choice}", f"paths.experiments={tmp_path}")
    leave(plan(*words)[f"{choice}_feature"])
    plan(*words)[f"{choice}_feature"].check()
    changed = plan(*words, "stage.plan.feature.method.weights.attention=0.5")
    with pytest.raises(StageConflictError, match=r"weights.attention was 1\.0, now 0\.5"):
        changed[f"{choice}_feature"].check()


@pytest.mark.usefixtures("hydra")
def test_only_other_data_keeps_a_stage_from_being_measured(tmp_path: Path) -> None:
    paths = f"paths.experiments={tmp_path}"
    leave(plan(paths)["teacher"])
    plan(paths, "trainer.max_epochs=3")["teacher"].check_data()
    with pytest.raises(StageConflictError, match=r"other data: dataset.image_size was None"):
        plan(paths, "dataset.image_size=[64,64]")["teacher"].check_data()


def leave_chain(paths: str, *roles: str) -> dict[str, stages.Stage]:
    """Leave teacher, feature and a kd that says it read some of them."""
    found = plan(paths)
    for name in ("teacher", "feature"):
        leave(found[name])
    needs = {role: file_digest(found["kd"].needs[role].checkpoint) for role in roles}
    leave(found["kd"], needs=needs)
    return found


@pytest.mark.usefixtures("hydra")
def test_stage_that_learnt_from_fewer_is_refused(tmp_path: Path) -> None:
    found = leave_chain(f"paths.experiments={tmp_path}", "teacher")
    with pytest.raises(StageConflictError, match=r"another start than .*feature"):
        found["kd"].check_needs()


@pytest.mark.usefixtures("hydra")
def test_stage_that_now_does_without_what_it_learnt_from_is_refused(tmp_path: Path) -> None:
    paths = f"paths.experiments={tmp_path}"
    leave_chain(paths, "teacher", "start")["kd"].check_needs()
    with pytest.raises(StageConflictError, match="learnt from a start, which this stage now does"):
        plan(paths, "~stage.plan.kd.needs.start")["kd"].check_needs()


@pytest.mark.usefixtures("hydra")
def test_stages_are_asked_for_in_their_order() -> None:
    with pytest.raises(ConfigurationError, match=r"kd needs teacher.*run=\[teacher,feature,kd\]"):
        plan("stage.run=[kd,feature,teacher]")
    plan("stage.run=[kd,student]")


@pytest.mark.usefixtures("hydra")
def test_mask_file_that_has_moved_is_the_same(tmp_path: Path) -> None:
    paths = f"paths.experiments={tmp_path / 'experiments'}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "mask.npy", np.eye(4))
    leave(plan(paths, f"task.mask_file={tmp_path}/one/mask.npy")["teacher"])
    moved = plan(paths, f"task.mask_file={tmp_path}/two/mask.npy")["teacher"]
    moved.check()
    np.save(tmp_path / "two" / "mask.npy", np.ones((4, 4)))
    plan.cache_clear()  # the words are the same, the file is another
    with pytest.raises(StageConflictError, match="mask_file_digest was"):
        plan(paths, f"task.mask_file={tmp_path}/two/mask.npy")["teacher"].check()


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("word", ["stage.plan.kd.needs.start=studnt", "+stage.plan.kd.needs.x=kd"])
def test_stage_can_need_known_stages_in_known_roles(word: str) -> None:
    description = (
        rf"{word.removeprefix('+')}: must be teacher or start, and a stage among teacher, "
    )
    with pytest.raises(ConfigurationError, match=description):
        plan(word)
