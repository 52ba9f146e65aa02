"""ISMRMRD scans that lack lines or samples, or make no image."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import ismrmrd
import numpy as np
import pytest

from kdmri.data.readers.ismrmrd import Ismrmrd
from kdmri.data.readers.raw_header import parse_header, voxel_size
from kdmri.data.readers.raw_slabs import image_size
from kdmri.errors import DataError
from kdmri.reconstruct.survey import survey
from tests.data.readers.coils import centred_fft2
from tests.data.readers.ismrmrd_files import ROWS, SAMPLES, Scan, centre, header, oversampled
from tests.data.readers.test_ismrmrd import only, stacked

Change = Callable[[Scan, np.ndarray], None]


def undersampled(scan: Scan, kspace: np.ndarray) -> None:
    for row in range(0, ROWS, 2):
        scan.line(kspace[:, row], row=row)


def backwards(scan: Scan, kspace: np.ndarray) -> None:
    for row in range(ROWS):
        scan.line(kspace[:, row], (ismrmrd.ACQ_IS_REVERSE,) if row % 2 else (), row=row)


def only_noise(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(kspace[:, 0], (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))


def untold_contrasts(scan: Scan, kspace: np.ndarray) -> None:
    for contrast in range(2):
        scan.image(kspace, contrast=contrast)


def coil_lost(scan: Scan, kspace: np.ndarray) -> None:
    scan.image(np.concatenate([kspace, kspace])[:, :24])
    scan.line(kspace[:, 24], row=24)


def outside(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(kspace[:, 0], row=ROWS)


def too_long(scan: Scan, kspace: np.ndarray) -> None:
    scan.line(np.concatenate([kspace[:, 0], kspace[:, 1]], axis=1), row=0)


def of_two_lengths(scan: Scan, kspace: np.ndarray) -> None:
    for row in range(ROWS):
        cut = slice(20, 60) if row % 2 else slice(None)
        scan.line(kspace[:, row, cut], row=row)


BAD_SCANS: dict[str, tuple[Change, str]] = {
    "undersampled": (undersampled, "its k-space is undersampled"),
    "backwards": (backwards, "both directions"),
    "only noise": (only_noise, "holds no imaging data"),
    "untold contrasts": (untold_contrasts, "several values of contrast"),
    "coil lost": (coil_lost, "number of coils changes"),
    "outside": (outside, "encoding step 48"),
    "of two lengths": (of_two_lengths, "samples 0 to 79 and 20 to 59 of 80, and what some lack"),
    "too long": (too_long, "a line of 160 samples does not fit"),
}


@pytest.mark.parametrize("kind", BAD_SCANS)
def test_scan_that_makes_no_image_is_told(tmp_path: Path, anatomy: np.ndarray, kind: str) -> None:
    write, message = BAD_SCANS[kind]
    with Scan(tmp_path / "scan.h5", header()) as scan:
        write(scan, centred_fft2(oversampled(anatomy, 1)))
    with pytest.raises(DataError, match=rf"scan\.h5: .*{message}"):
        stacked(only(tmp_path))


@pytest.mark.parametrize(
    ("place", "text", "told"),
    [
        ("encodedSpace/matrixSize/x", "inf", "matrixSize (inf, 48.0, 1.0)"),
        ("encodedSpace/matrixSize/y", "many", "matrixSize/y 'many', which is no number"),
        (
            "encodingLimits/kspace_encoding_step_1/maximum",
            "inf",
            "maximum 'inf', which is no count",
        ),
        ("encodingLimits/kspace_encoding_step_1/center", "", "center '', which is no number"),
        ("reconSpace/fieldOfView_mm/x", "-", "reconSpace/fieldOfView_mm/x '-', which is no number"),
    ],
)
def test_number_of_a_header_that_is_none_is_told(place: str, text: str, told: str) -> None:
    root = ElementTree.fromstring(header())
    (element,) = root.iterfind("{*}encoding/" + "/".join(f"{{*}}{n}" for n in place.split("/")))
    element.text = text
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_header(ElementTree.tostring(root))


@pytest.mark.parametrize("text", ["inf", "NaN", "0"])
def test_field_of_view_that_is_no_length_is_unknown(text: str) -> None:
    found = parse_header(header().replace("<x>200", f"<x>{text}", 1))
    assert np.isnan(voxel_size(found._replace(encoded=found.recon), 0))
    assert image_size(found) == (48, 40), "the header's own matrix"


def test_lines_that_may_not_be_what_the_header_says_are_told(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    """Oversampling that was removed, and slices that share a counter, make an image all the same.

    A line that begins late (asymmetric echo) is none of them.
    """
    kspace = centred_fft2(oversampled(anatomy, 1))
    with Scan(tmp_path / "a.h5", header()) as scan:
        scan.image(kspace[..., 20:60])
    with Scan(tmp_path / "b.h5", header()) as scan:
        for row in range(ROWS):
            scan.place = [0, 0, 5.0 * (row % 2)]
            scan.line(kspace[:, row], row=row)
    with Scan(tmp_path / "c.h5", header()) as scan:
        for row in range(ROWS):
            scan.line(kspace[:, row, 20:], row=row, center_sample=20)
    short, moved, late = (volume.notes for volume in Ismrmrd().volumes(tmp_path))
    assert "its lines hold 40 samples in the middle of an encoded matrix of 80" in " ".join(short)
    assert "the lines of a slice have several positions or directions" in " ".join(moved)
    assert "lines" not in " ".join(late)


def test_missing_partition_is_undersampling(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = centred_fft2(oversampled(anatomy, 1))
    xml = header(encoded=(SAMPLES, ROWS, 4), recon=(40, 48, 4), centres=(ROWS // 2, 2))
    with Scan(tmp_path / "scan.h5", xml) as scan:
        for partition in (0, 1, 3):
            scan.image(kspace, kspace_encode_step_2=partition)
    with pytest.raises(DataError, match=r"scan\.h5: its k-space is undersampled"):
        stacked(only(tmp_path))


def write_rows(path: Path, kspace: np.ndarray, rows: list[int], **idx: int) -> None:
    with Scan(path, header(len(kspace))) as scan:
        for row in rows:
            scan.line(kspace[:, row], row=row, **idx)


STOPPED = list(range(ROWS // 2))
ONE_LACKS = [row for row in range(ROWS) if row != 30]


@pytest.mark.parametrize("coils", [1, 2])
@pytest.mark.parametrize("as_zeros", [False, True])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (STOPPED, "the zero frequency was never measured"),
        (ONE_LACKS, "its k-space is undersampled"),
        ([*STOPPED, 24], None),
    ],
)
def test_lines_that_lack_or_are_zero_were_not_measured(
    tmp_path: Path,
    anatomy: np.ndarray,
    coils: int,
    as_zeros: bool,
    rows: list[int],
    message: str | None,
) -> None:
    kspace = np.repeat(centred_fft2(oversampled(anatomy, 1)), coils, axis=0)
    lacking = [row for row in range(ROWS) if row not in rows]
    kspace[:, lacking] = 0
    write_rows(tmp_path / "scan.h5", kspace, [*range(ROWS)] if as_zeros else rows)
    if message is None:
        assert stacked(only(tmp_path)).any()
        return
    for options in ({}, {"undersampled": True}):
        if options and rows is ONE_LACKS:
            (item,) = only(tmp_path, **options).slices()
            assert item.mask is not None
            np.testing.assert_array_equal(
                np.fft.fftshift(item.mask[:, 0]), np.isin(range(ROWS), rows)
            )
            assert (item.kspace_coils is None) == (coils == 1)
            assert item.note is None
            continue
        with pytest.raises(DataError, match=rf"scan\.h5: {message}"):
            stacked(only(tmp_path, **options))


@pytest.mark.parametrize(("centre_sample", "description"), [(40, 40), (30, 30), (52, 52), (0, 40)])
def test_centre_sample_is_where_the_zero_frequency_is(
    tmp_path: Path, anatomy: np.ndarray, centre_sample: int, description: int
) -> None:
    """A line as long as the matrix may begin late: what it lacks is zero, what is over is left out.

    0 is what `ismrmrd.Acquisition.from_array` leaves there.
    """
    kspace = centred_fft2(oversampled(anatomy, 1))
    shift = SAMPLES // 2 - description
    line = np.zeros_like(kspace)
    if shift > 0:
        line[..., :-shift], line[..., -shift:] = kspace[..., shift:], 1e3
    elif shift < 0:
        line[..., -shift:], line[..., :-shift] = kspace[..., :shift], 1e3
    else:
        line = kspace
    with Scan(tmp_path / "scan.h5", header()) as scan:
        scan.image(line, center_sample=centre_sample)
    kept = kspace[0].copy()
    if shift > 0:
        kept[:, :shift] = 0
    elif shift < 0:
        kept[:, shift:] = 0
    whole = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kept), norm="ortho"))
    np.testing.assert_allclose(stacked(only(tmp_path))[0], centre(whole), atol=1e-5)


@pytest.mark.parametrize("count", [40, 41])
def test_short_line_that_does_not_tell_its_centre_lies_in_the_middle(
    tmp_path: Path, anatomy: np.ndarray, count: int
) -> None:
    kspace = centred_fft2(oversampled(anatomy, 1))
    first = SAMPLES // 2 - count // 2
    with Scan(tmp_path / "scan.h5", header()) as scan:
        scan.image(kspace[..., first : first + count], center_sample=0)
    kept = np.zeros_like(kspace[0])
    kept[:, first : first + count] = kspace[0, :, first : first + count]
    whole = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kept), norm="ortho"))
    (item,) = only(tmp_path).slices()
    np.testing.assert_allclose(item.image, centre(whole), atol=1e-5)
    assert f"{SAMPLES // 2 + (2 if count % 2 else 0)} of" in str(item.note)


def test_centre_sample_has_to_be_kept(tmp_path: Path, anatomy: np.ndarray) -> None:
    kspace = centred_fft2(oversampled(anatomy, 1))
    for number, (idx, message) in enumerate(
        (
            ({"discard_pre": 41}, "the zero frequency was never measured"),
            ({"center_sample": SAMPLES}, "center_sample 80 lies outside a line of 80"),
        )
    ):
        with Scan(tmp_path / str(number) / "scan.h5", header()) as scan:
            scan.image(kspace, **idx)
        with pytest.raises(DataError, match=rf"scan\.h5: {message}"):
            stacked(only(tmp_path / str(number)))


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ([(5, 20)], "its k-space is undersampled"),
        ([(5, row) for row in range(24, 48)], "the zero frequency was never|is undersampled"),
        (
            [(s, r) for s in range(10) for r in range(1, 48, 2) if abs(r - 24) > 5],
            "is undersampled",
        ),
        (
            [
                (s, r)
                for s in range(10)
                for r in range(48)
                if ((s - 5) / 5) ** 2 + ((r - 24) / 24) ** 2 > 1
            ],
            None,
        ),
        ([(s, 0) for s in range(0, 10, 2)], None),
    ],
)
def test_both_phase_encodings_are_judged(
    tmp_path: Path, anatomy: np.ndarray, lacking: list[tuple[int, int]], message: str | None
) -> None:
    kspace = centred_fft2(oversampled(anatomy, 5))
    xml = header(encoded=(SAMPLES, ROWS, 10), recon=(40, 48, 10), centres=(ROWS // 2, 5))
    with Scan(tmp_path / "scan.h5", xml) as scan:
        for slab in range(10):
            for row in range(ROWS):
                if (slab, row) not in lacking:
                    scan.line(kspace[slab % 5, None, row], row=row, kspace_encode_step_2=slab)
    if message is None:
        assert stacked(only(tmp_path)).any()
        return
    with pytest.raises(DataError, match=rf"scan\.h5: .*({message})"):
        stacked(only(tmp_path))


@pytest.mark.parametrize("undersampled", [False, True])
@pytest.mark.parametrize("coils", [1, 2])
def test_zero_filling_of_each_plane_is_told(
    tmp_path: Path, anatomy: np.ndarray, coils: int, undersampled: bool
) -> None:
    """Few partitions were acquired, or few samples of a readout; either alone is no less."""
    few = {"partitions": ((2, 8), (0, SAMPLES)), "readout": ((0, 10), (20, 60))}
    wanted = {
        "partitions": r"^\S.* central 6x48 of 10x48",
        "readout": r"^\S.* central 48x40 of 48x80",
    }
    kspace = np.repeat(centred_fft2(oversampled(anatomy, 5))[:, None], coils, axis=1)
    xml = header(coils, (SAMPLES, ROWS, 10), (40, 48, 10), centres=(ROWS // 2, 5))
    for name, (slabs, columns) in few.items():
        with Scan(tmp_path / name / "scan.h5", xml) as scan:
            for slab in range(*slabs):
                for row in range(ROWS):
                    line = np.zeros((coils, SAMPLES), complex)
                    line[:, slice(*columns)] = kspace[slab % 5, :, row, slice(*columns)]
                    scan.line(line, row=row, kspace_encode_step_2=slab)
        volume = only(tmp_path / name, undersampled=undersampled)
        assert re.search(wanted[name], str(next(volume.slices()).note))
        assert re.search(wanted[name], survey(volume).notes[0])
        assert survey(volume).has_target
