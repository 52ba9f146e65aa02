"""Every switch of every command is true or false, every number a number, before anything runs."""

import copy
import functools
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from kdmri.config.checks import CONFIGS, register_resolvers
from kdmri.config.values import MOUNTS, check, one_of, or_null, shipped_values, size, whole
from kdmri.errors import ConfigurationError
from tests.conftest import Result

Run = Callable[..., Result]
Refuses = Callable[..., str]


def keys_of(kind: type | tuple[type, ...]) -> list[tuple[str, str, str]]:
    """Walk over the files of `configs/`: a command, the word that takes the file, the key."""
    found = {}
    for key, value, path in shipped_values(CONFIGS):
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            continue
        *folders, _ = path.relative_to(CONFIGS).parts
        command, word = "config", ""
        if not folders:
            command = path.stem
        elif folders == ["stage", "base"]:
            word, key = "stage=all", key.replace("*", "kd")
        elif folders == ["experiment", "of_task"]:
            word = f"experiment={path.stem.partition('_')[0]}"
        else:
            command = "reconstruct" if folders == ["format"] else "config"
            mount = next((m for m in MOUNTS.get(folders[0], ()) if key.startswith(m)), "")
            new = "+" if folders[0] == "sensitivities" else ""  # data sets of one coil have none
            word = f"{new}{folders[0]}{mount and f'@{mount}'}={path.stem}"
        found.setdefault((command, key), word)
    return [(command, word, key) for (command, key), word in found.items()]


@functools.cache
def composed(command: str, word: str) -> DictConfig:
    return compose(command, [word] if word else [], return_hydra_config=True)


def check_composed(command: str, word: str, *words: str) -> None:
    """Check what Hydra composes of a file, with the values that its grammar reads of words."""
    config = copy.deepcopy(composed(command, word))
    HydraConfig.instance().set_config(config)
    for override in OverridesParser.create().parse_overrides([*words]):
        with open_dict(config):
            OmegaConf.update(config, override.key_or_group, override.value())
    try:
        check(config, {})
    finally:
        HydraConfig.instance().cfg = None


@pytest.fixture
def refuses(hydra: None) -> Refuses:
    """Check what is composed of words, as `check_composed` does, and give the error."""

    def call(command: str, word: str, *words: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            check_composed(command, word, *words)
        return str(caught.value)

    return call


def test_walk_finds_every_switch_that_a_line_of_a_file_names() -> None:
    walked = Counter(path for _, value, path in shipped_values(CONFIGS) if isinstance(value, bool))
    for path in CONFIGS.rglob("*.yaml"):
        group, text = path.parent.relative_to(CONFIGS).as_posix(), path.read_text()
        if not group.startswith("hydra"):
            named = re.findall(
                r"^[^#\n]*?: *(?:true|false)\b|, *\w+: *(?:true|false)\b", text, re.M
            )
            assert walked[path] == len(named) * len(MOUNTS.get(group, ("",))), path


@pytest.mark.parametrize(("command", "word", "key"), keys_of(bool))
def test_every_switch_of_every_file_is_true_or_false(
    refuses: Refuses, command: str, word: str, key: str
) -> None:
    for value in ("off", "no", "0", "1", "null"):
        message = refuses(command, word, f"{key}={value}")
        assert message.startswith(f"{key}={value}: must be true")
        assert "false" in message
    for value in ("true", "false"):
        check_composed(command, word, f"{key}={value}")


@pytest.mark.parametrize(("command", "word", "key"), keys_of((int, float)))
def test_no_number_of_any_file_is_true(refuses: Refuses, command: str, word: str, key: str) -> None:
    assert refuses(command, word, f"{key}=true").startswith(f"{key}=true: must be ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("overwrite=yes",), "overwrite=yes: must be true or false"),
        (('overwrite="true"',), 'overwrite="true": must be true or false'),
        (("overwrite=[true]",), "overwrite=[True]: must be true or false"),
        (("+trainer.detect_anomaly=off",), "trainer.detect_anomaly=off: must be true or false"),
        (("+trainer.benchmark=no",), "trainer.benchmark=no: must be null or true or false"),
        (("+trainer.deterministic=off",), "deterministic=off: must be null or true, false or warn"),
        (("+trainer.logger=false",), "trainer.logger=false: must be left out; choose one with log"),
        (("trainer.devices=true",), "trainer.devices=true: must be a number, auto, or a list"),
        (("dataset.selection=true",), "dataset.selection=true: must be a share, names or shared"),
        (("student.depth=three",), "student.depth=three: must be a number"),
        (("stage.plan.kd.reported=off",), "stage.plan.kd.reported=off: must be true or false"),
    ],
)
def test_other_words_in_the_place_of_a_value(
    refuses: Refuses, words: tuple[str, ...], message: str
) -> None:
    assert message in refuses("config", "stage=all", *words)


def test_values_that_are_wider_than_the_shipped_one_are_taken(hydra: None) -> None:
    check_composed(
        "config",
        "",
        *("trainer.devices=auto", "dataset.selection=shared", "+trainer.deterministic=warn"),
        *("+trainer.benchmark=null", "trainer.devices=[0,1]", "dataset.selection=[1]"),
        *("teacher_cache_gib=0.5", "dataset.image_size=[64,64]", "trainer.gradient_clip_val=1"),
    )
    check_composed("reconstruct", "format=numpy", "format.centred=kspace")
    check_composed("export", "", "slices=somewhere")  # benchmark.yaml has a number of that name


def test_switches_of_a_users_own_files_are_checked(tmp_path: Path) -> None:
    """In a directory that Hydra searches; YAML itself reads `off` in a file as false."""
    (tmp_path / "architecture").mkdir()
    (tmp_path / "architecture" / "mine.yaml").write_text(
        "defaults: [d3c5, _self_]\nresidual: off\nnormed: true\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "defaults: [config, override architecture@student: mine, _self_]\nloud: false\n"
        f"hydra: {{searchpath: ['{CONFIGS}']}}\n"
    )
    register_resolvers()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        check_composed("mine", "")
        for key in ("student.normed", "student.residual", "loud", "overwrite"):
            with pytest.raises(ConfigurationError, match=f"{key}=off: must be true or false"):
                check_composed("mine", "", f"{key}=off")


STRAY = {"list.yaml": "[1, 2]", "text.yaml": "words", "empty.yaml": "", "null.yaml": "null"}
BROKEN = {"broken.yaml": "a: [", "tagged.yaml": "a: !!python/name:os.system", "bytes.yaml": "\x80"}


def test_a_directory_of_ones_own_may_hold_other_yaml(run: Run, tmp_path: Path) -> None:
    """Such as playbooks and pipelines, whatever they are; only folders of groups are looked at."""
    for folder in ("", "ci", "datasets/deep"):
        (tmp_path / "mine" / folder).mkdir(parents=True, exist_ok=True)
        for name, text in (STRAY | BROKEN).items():
            (tmp_path / "mine" / folder / name).write_bytes(text.encode("latin-1"))
    (tmp_path / "mine" / "logger").mkdir()
    for name, text in STRAY.items():
        (tmp_path / "mine" / "logger" / name).write_text(text)
    result = run("train.py", "--config-dir=mine", "overwrite=off")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "overwrite=off: must be true or false" in result.err


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_choice_of_ones_own_is_named(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine" / "logger" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(BROKEN[name].encode("latin-1"))
    result = run("train.py", "--config-dir=mine")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert f"mine/logger/{name}: cannot be read as YAML (" in result.err


def test_kinds_tell_true_from_one() -> None:
    assert whole(1).accepts(1)
    assert not whole(1).accepts(True)
    assert not one_of(0, 1, 2).accepts(True)
    assert not one_of(True, "kspace", False).accepts(1)
    assert one_of(True, "kspace", False).wanted == "true, kspace or false"
    assert or_null(size(7)).accepts([7, 8])
    assert not size(7).accepts([7, True])
    assert not size(7).accepts("77")


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        (
            "kdmri/reconstruct/__main__.py",
            ("overwrite=off",),
            "overwrite=off: must be true or false",
        ),
        (
            "kdmri/reconstruct/__main__.py",
            ("batch_size=true",),
            "batch_size=true: must be a whole number",
        ),
        (
            "kdmri/reconstruct/__main__.py",
            ("image_size=[true,8]",),
            "image_size=[True, 8]: must be null or",
        ),
        (
            "kdmri/reconstruct/__main__.py",
            ("input=2024",),
            "input=2024: must be null or text; a number",
        ),
        ("kdmri/export/__main__.py", ("overwrite=no",), "overwrite=no: must be true or false"),
        (
            "kdmri/export/__main__.py",
            ("repeats=true",),
            "repeats=true: must be a whole number, at least 1",
        ),
        (
            "kdmri/export/__main__.py",
            ("bounds.int8.psnr=true",),
            "bounds.int8.psnr=true: must be a number",
        ),
        ("kdmri/prepare/__main__.py", ("strict=0",), "strict=0: must be true or false"),
        (
            "kdmri/prepare/__main__.py",
            ("format=numpy", "format.kspace=off"),
            "format.kspace=off: must be",
        ),
        (
            "kdmri/prepare/__main__.py",
            ("format=numpy", "format.axis=true"),
            "axis=true: must be 0, 1 or 2",
        ),
        ("kdmri/compare.py", ("block=true",), "block=true: must be a whole number, at least 1"),
        ("kdmri/collect.py", ("experiments=7",), "experiments=7: must be text; a number needs"),
        (
            "kdmri/report/__main__.py",
            ("limit_mib=true",),
            "limit_mib=true: must be a number, at least 0.25",
        ),
        (
            "kdmri/import_original/__main__.py",
            ("overwrite=no",),
            "overwrite=no: must be true or false",
        ),
        ("kdmri/benchmark/__main__.py", ("rounds=true",), "rounds=true: must be a whole number"),
        ("kdmri/benchmark/recovery.py", ("kills=true",), "kills=true: must be a whole number"),
        ("train.py", ("student.residual=off",), "student.residual=off: must be true or false"),
        ("evaluate.py", ("evaluation.detailed=off",), "evaluation.detailed=off: must be true or f"),
    ],
)
def test_every_command_checks_before_it_runs(
    run: Run, tmp_path: Path, script: str, words: tuple[str, ...], message: str
) -> None:
    result = run(script, *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert not list(tmp_path.iterdir())
