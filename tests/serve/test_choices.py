"""A client's configuration chooses among names that are there, and does nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ismrmrd.serialization import ConfigFile, ConfigText

from kdmri.errors import CheckpointError, ConfigurationError
from kdmri.serve.choices import Choices, open_choices
from kdmri.serve.protocol import RefusedError
from tests.serve.clients import connected, scanned
from tests.serve.conftest import CPU, Serve
from tests.serve.scans import Raw


@pytest.fixture
def folder(tmp_path: Path, student: Path, of_one_coil: Path) -> Path:
    """Two checkpoints, one where training leaves it; beside them what is none."""
    root = tmp_path / "networks"
    (root / "acc_4x" / "kd").mkdir(parents=True)
    shutil.copy(student, root / "acc_4x" / "kd" / "best_model.pt")
    shutil.copy(of_one_coil, root / "single.pt")
    torch.save({"state_dict": {}}, root / "last.pt")
    torch.save({"state_dict": {}}, root / "acc_4x" / "kd" / "model.pt")
    (root / "notes.txt").write_text("private")
    return root


@pytest.fixture
def choices(folder: Path) -> Choices:
    return open_choices(str(folder), CPU)


def test_checkpoints_are_named_by_their_places(choices: Choices, folder: Path) -> None:
    assert list(choices.by_name) == ["acc_4x/kd", "single"]
    assert [str(folder / "last.pt") in reason for reason in choices.left_out] == [True]
    assert choices.choose("acc_4x/kd").name == "acc_4x/kd"
    assert choices.choose(" single.pt\n").name == "single"
    assert choices.choose(json.dumps({"parameters": {"config": "single"}})).name == "single"


@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        "simplefft",
        "last",
        "notes.txt",
        "../student",
        "acc_4x/../single",
        "acc_4x/kd/best_model",
        "./single",
        "/etc/hostname",
        "single\0/../x",
        "os",
        "kdmri.models.DCCNN",
        "_target_: builtins.print",
        '{"_target_": "builtins.print"}',
        '{"parameters": {"config": ["single"]}}',
        "[" * 100_000,
    ],
)
def test_any_other_text_is_refused_with_the_names(choices: Choices, config: str | None) -> None:
    with pytest.raises(RefusedError, match=r"no such network here, but acc_4x/kd, single"):
        choices.choose(config)


def test_name_with_control_characters_stays_one_line(choices: Choices) -> None:
    with pytest.raises(RefusedError) as caught:
        choices.choose("a\nb\x1b[31m\r" + "c" * 5000)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_client_chooses_by_file_text_or_json(serve: Serve, folder: Path, scan: Raw) -> None:
    address = serve(folder).address
    name = "acc_4x/kd"
    by_file = scanned(address, scan, name)
    with connected(address) as client:
        client.send(ConfigText(name))
        client.header(scan.xml)
        client.send(*scan.lines)
        client.close()
        by_text = client.rest()
    with connected(address) as client:
        client.send(ConfigFile("default"))
        client.header(scan.xml)
        client.send(json.dumps({"version": "1", "parameters": {"config": name}}), *scan.lines)
        client.close()
        by_json = client.rest()
    answers = (by_file, by_text, by_json)
    assert [a.images[0].meta["KdmriCheckpoint"] for a in answers] == [name] * 3
    assert by_file.images[0].meta["SeriesDescription"] == "kdmri_acc_4x_kd"
    (error,) = scanned(address, scan, "default").errors
    assert "config 'default': there is no such network here, but acc_4x/kd, single" in error


def test_single_checkpoint_serves_whatever_is_asked_for(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    path = checkpoint()
    one = open_choices(str(path), CPU)
    assert one.choose("simplefft") is one.choose(None)
    assert one.choose(None).name == tmp_path.name  # a file best_model.pt is named by its folder
    assert one.choose(None).trained.path == Path(tmp_path.name)


def test_what_is_no_checkpoint_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="checkpoint: is missing"):
        open_choices(None, CPU)
    with pytest.raises(ConfigurationError, match=r"holds no checkpoint \(no file ends in .pt\)"):
        open_choices(str(tmp_path), CPU)
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        open_choices(str(tmp_path / "a.pt"), CPU)


@pytest.mark.parametrize("wrap", ["single", '{"parameters": {"config": "single"}}'])
def test_network_that_is_named_after_lines_is_never_passed_over(
    serve: Serve, folder: Path, scan: Raw, wrap: str
) -> None:
    """Else images would be of another network than the client asked for last."""
    address = serve(folder).address
    with connected(address) as client:
        client.begin(scan, "acc_4x/kd")
        client.send(*scan.lines[:9], ConfigText("acc_4x/kd"), "a note", ConfigText(wrap))
        client.close()
        (error,) = client.rest().errors
    assert "came after lines of the scan, which 'acc_4x/kd' reconstructs" in error
    assert len(scanned(address, scan, "acc_4x/kd").images) == 1
