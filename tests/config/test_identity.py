"""Which directory a configuration names."""

from pathlib import Path

import pytest
import yaml
from hydra import compose
from omegaconf import DictConfig

from kdmri.config import checks
from kdmri.config.identity import comparison_name
from tests.conftest import ROOT, plan

EVERY_STAGE = {"teacher", "student", "student_long", "feature", "kd"}
STUDENTS = EVERY_STAGE - {"teacher"}


def names(*overrides: str) -> dict[str, str]:
    return {name: stage.directory.name for name, stage in plan(*overrides).items()}


@pytest.mark.usefixtures("hydra")
def test_shipped_choices_have_the_published_path() -> None:
    for dataset, directory in (("cardiac", "cardiac"), ("brain", "mrbrain"), ("mni", "mni")):
        found = plan(f"dataset={dataset}", "acceleration=8x")
        expected = Path("experiments") / directory / "acc_8x" / "attention_imitation_kd"
        assert found["kd"].directory == expected
    assert plan("dataset.orientation=sagittal")["kd"].directory.parts[1] == "mni_sagittal"
    sagittal = compose("config", ["dataset=colin27", "dataset.orientation=sagittal"])
    assert sagittal.dataset.title == "Colin27, sagittal"


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("choices", "directory"),
    [
        (("task=super_resolution",), "sr/attention_imitation"),
        (("task=super_resolution", "scale=2x"), "sr_2x/attention_imitation"),
        (("task=super_resolution", "acceleration=8x"), "sr/attention_imitation"),
        (("task=super_resolution_dc", "scale=2x"), "sr_2x_dc/attention_imitation"),
    ],
)
def test_super_resolution_has_directories_of_its_own(
    choices: tuple[str, ...], directory: str
) -> None:
    found = plan("dataset=calgary", *choices)
    for stage in EVERY_STAGE:
        expected = Path("experiments") / "calgary" / f"{directory}_{stage}"
        assert found[stage].directory == expected
    assert {"vdsr11", "vdsr7"} == {
        compose("config", list(choices))[role].name.removesuffix("_dc")
        for role in ("teacher", "student")
    }


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("schedule", ["one_cycle", "warmup_cosine", "cosine"])
def test_length_of_a_schedule_names_nothing_unless_it_is_given(schedule: str) -> None:
    chosen = f"scheduler={schedule}"
    assert names(chosen, "trainer.max_epochs=7") == names(chosen)
    key = "T_max" if schedule == "cosine" else "epochs"
    assert names(chosen, f"scheduler.{key}=9")["kd"] != names(chosen)["kd"]


@pytest.mark.usefixtures("hydra")
def test_super_resolution_does_not_depend_on_the_mask() -> None:
    task = "task=super_resolution"
    assert names(task, "dataset.mask.seed=3") == names(task)
    other = plan(task, "acceleration=8x")["kd"]
    assert other.experiment == plan(task)["kd"].experiment
    assert other.circumstances == plan(task)["kd"].circumstances
    assert names(task, "scale.factor=3")["teacher"].endswith("_teacher_scale-3")
    assert names(task, "task.window=hann")["teacher"].endswith("_teacher_window-hann")


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("override", "piece", "changed"),
    [
        ("seed=1", "_seed-1", EVERY_STAGE),
        ("loss.imitation=0.3", "_loss.imitation-0.3", {"kd"}),
        (
            "architecture@student=d2c5",
            "_student-d2c5",
            STUDENTS,
        ),
        ("student.depth=2", "_student-d2c5", STUDENTS),
        ("architecture@teacher=d7c5", "_teacher-d7c5", {"teacher", "feature", "kd"}),
        ("student.width=16", "_student.width-16", STUDENTS),
        ("dataset.mask.seed=3", "_dataset.mask.seed-3", EVERY_STAGE),
        ("task.mask_file=a/b.npy", "_mask_file-b", EVERY_STAGE),
        ("scale=2x", "", set()),
        ("optimizer.lr=0.01", "_optimizer.lr-0.01", EVERY_STAGE),
        ("scheduler=cosine", "_scheduler-CosineAnnealingLR", EVERY_STAGE),
        ("optimizer=adamw", "_optimizer-AdamW_optimizer.weight_decay-0.01", EVERY_STAGE),
        ("augmentation.transform={_target_:a.Blur}", "_augmentation.transform-Blur", EVERY_STAGE),
    ],
)
def test_another_experiment_is_named_where_it_matters(
    override: str, piece: str, changed: set[str]
) -> None:
    before, after = names(), names(override)
    assert after == {k: v + (piece if k in changed else "") for k, v in before.items()}


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    "override",
    [
        "trainer.max_epochs=3",
        "paths.datasets=elsewhere",
        "num_workers=2",
        "capture=false",
        "trainer=gpu",
        "logger=csv",
        "dataset.image_size=[64,64]",
        "evaluation.batch_size=8",
    ],
)
def test_where_how_fast_and_how_long_names_nothing(override: str) -> None:
    assert names(override) == names()


@pytest.mark.usefixtures("hydra")
def test_what_an_experiment_ships_and_a_run_leaves_out_is_named_once() -> None:
    best = names("experiment=best")
    for override in ("augmentation=flips", "augmentation.transform=null"):
        without = names("experiment=best", override)
        assert without == {k: f"{v}_augmentation.transform-None" for k, v in best.items()}


@pytest.mark.usefixtures("hydra")
def test_long_suffix_becomes_a_hash_beside_the_seed() -> None:
    overrides = ("optimizer.lr=0.000123", "student.width=17", "teacher.width=18")
    many = names(*overrides, "dataset.mask.centre_lines=6")["kd"]
    assert len(many) < 50
    assert many == names(*overrides, "dataset.mask.centre_lines=6")["kd"]
    assert many != names(*overrides, "dataset.mask.centre_lines=7")["kd"]
    other_seed = names(*overrides, "dataset.mask.centre_lines=6", "seed=12345")["kd"]
    assert other_seed == f"{many}_seed-12345"


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(("digits", "hashed"), [(1, False), (5, False), (9, True)])
def test_seeds_of_one_experiment_have_one_name_but_for_the_seed(digits: int, hashed: bool) -> None:
    """However close to the longest suffix it is."""
    others = ("loss.imitation=0.25", "loss.attention=0.125", "student.width=17")
    rate = f"optimizer.lr=0.{'1' * digits}"
    one, other = (names(*others, rate, *seed)["kd"] for seed in ((), ("seed=7",)))
    assert other.replace("_seed-7", "") == one
    assert (len(one) < 50) == hashed


@pytest.mark.usefixtures("hydra")
def test_student_long_lasts_as_long_as_both_distillation_stages() -> None:
    config = compose("config", ["stage.plan.kd.max_epochs=30", "trainer.max_epochs=20"])
    assert config.stage.plan.student_long.max_epochs == 50


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("epochs", "share", "feature"), [(40, 0.125, 10), (1, 0.01, 1), (1, 0.99, 1), (3, 0.5, 3)]
)
def test_feature_and_kd_share_the_same_epochs(epochs: int, share: float, feature: int) -> None:
    words = (f"trainer.max_epochs={epochs}", f"feature_share={share}", "stage=sft")
    lengths = {k: v.max_epochs for k, v in compose("config", [*words]).stage.plan.items()}
    assert (lengths["feature"], lengths["kd"]) == (feature, 2 * epochs - feature)
    assert (lengths["sft_feature"], lengths["sft_kd"]) == (feature, 2 * epochs - feature)
    assert lengths["student_long"] == 2 * epochs


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("choice", ["all", "sft", "privileged"])
def test_every_teacher_is_trained_for_as_long_as_asked_and_no_student(choice: str) -> None:
    words = (f"stage={choice}", "trainer.max_epochs=10")
    shipped, longer = (
        {k: v.max_epochs for k, v in compose("config", [*words, *more]).stage.plan.items()}
        for more in ((), ("teacher_epochs=30",))
    )
    teachers = {name for name in shipped if name.endswith("teacher")}
    assert {shipped[name] for name in teachers} == {10}
    assert longer == {**shipped, **dict.fromkeys(teachers, 30)}
    assert compose("config", ["experiment=best", *words]).stage.plan.teacher.max_epochs == 30


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("choice", ["all", "sft", "privileged"])
def test_stages_that_learn_from_a_teacher_may_take_smaller_steps(choice: str) -> None:
    words = (f"stage={choice}", "batch_size=6", "distilled_batch_size=2")
    found = plan(*words)
    learners = {name for name, stage in found.items() if "teacher" in stage.needs}
    sizes = {name: stage.config.batch_size for name, stage in found.items()}
    assert learners
    learners |= {"student_long"} & sizes.keys()  # the control takes as many steps
    assert sizes == dict.fromkeys(sizes, 6) | dict.fromkeys(learners, 2)
    small, shipped = names(f"stage={choice}", "distilled_batch_size=2"), names(f"stage={choice}")
    assert {name for name in small if small[name] != shipped[name]} == learners
    assert small["kd"].endswith("_kd_batch_size-2")


MOUNTS = {
    "architecture": ("architecture@teacher", "architecture@student"),
    "mask_rule": (),
    "sensitivities": (),
    "format": (),
}


NAMELESS = ("dataset=own", "dataset=multicoil")


def every_choice() -> list[str]:
    return [
        f"{key}={path.stem}"
        for path in sorted((ROOT / "configs").glob("*/*.yaml"))
        for key in MOUNTS.get(path.parent.name, (path.parent.name,))
    ]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("choice", every_choice())
def test_every_choice_composes_and_passes_the_checks(choice: str) -> None:
    config: DictConfig = compose(
        "config", [choice, *(["dataset.name=x"] if choice in NAMELESS else [])]
    )
    checks.check(config)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "experiment").glob("*.yaml")))
def test_experiments_have_names_of_their_own_and_keep_the_networks(path: Path) -> None:
    config, default = compose("config", [f"experiment={path.stem}"]), compose("config")
    sense = {"channels", "residual", "start", "closing"}
    varnet = {"_target_", "name", "cascades", "width", "levels", "channels", "start"}
    varnet |= {"sensitivity_width", "sensitivity_levels"}
    free = {
        "best": {"residual"},
        "demo_multicoil": {"channels"},
        "best_multicoil": sense,
        "best_varnet": varnet,
        "scanner": sense | {"name", "cascades", "depth", "noise_floor"},
    }.get(path.stem, set())
    for role in ("teacher", "student"):
        changed = {k for k, v in config[role].items() if v != default[role].get(k)}
        assert changed <= free
    if path.stem in ("paper", "compare_distillation"):  # change nothing that is trained
        assert config.name == default.name
    else:
        assert config.name == path.stem


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_no_key_of_a_command_hides_behind_a_group(path: Path) -> None:
    """Hydra would take `key=value` for a choice of the group."""
    groups = {folder.name for folder in (ROOT / "configs").iterdir() if folder.is_dir()}
    plain = {k for k, v in yaml.safe_load(path.read_text()).items() if not isinstance(v, dict)}
    assert not plain & groups


@pytest.mark.parametrize(
    ("directory", "name", "found"),
    [
        ("best_kd_seed-1", "best", "best_comparison_seed-1"),
        ("best_fitnets_kd", "best", "best_fitnets_comparison"),
        ("a_kd_b_kd", "a_kd_b", "a_kd_b_comparison"),
        ("a_teacher_teacher_epochs-2", "a", "a_comparison_teacher_epochs-2"),
    ],
)
def test_comparison_is_named_after_its_last_stage(directory: str, name: str, found: str) -> None:
    stage = "teacher" if "teacher" in directory else "kd"
    assert comparison_name(directory, name, stage) == found
