"""Who was scanned, and what is no image, by the names of files as data sets have them."""

from pathlib import Path

import pytest

from kdmri.data.readers.people import people, person_of_name, why_no_image
from kdmri.errors import DataError
from tests.data.readers.trees import AMBIGUOUS, TREES, Tree


def places(tree: Tree) -> dict[Path, str]:
    """Subjects by path without ending, label maps left in."""
    bare = {file: file.removesuffix(".gz").rpartition(".")[0] for f in tree.values() for file in f}
    return {Path(bare[file]): subject for subject, files in tree.items() for file in files}


@pytest.mark.parametrize("name", TREES)
def test_every_file_is_of_its_person(name: str) -> None:
    expected = places(TREES[name])
    images = [place for place in expected if why_no_image(place) is None]
    assert {p for p in expected if expected[p] == ""} == expected.keys() - set(images)
    for order in (images, images[::-1]):
        found = {p: w.subject for p, w in zip(order, people(order, "study"), strict=True)}
        assert found == {place: expected[place] for place in images}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_name_below_several_folders_stops_where_either_may_be_the_person(name: str) -> None:
    found = list(places(AMBIGUOUS[name]))
    with pytest.raises(DataError, match=r"a subject, or its folder .*subjects=name or subjects=f"):
        people(found, "study")
    assert person_of_name(found[0], found) in AMBIGUOUS[name] or found[0].name == "t1"


def test_a_file_below_another_persons_folder_is_refused() -> None:
    with pytest.raises(DataError, match="sub-01/anat/sub-02_T1w: names sub-01 and sub-02"):
        people([Path("sub-01/anat/sub-02_T1w")], "study")


def test_images_whose_names_sound_like_labels_stay() -> None:
    for name in ("p1/masked_t1", "p1/gtx_t1", "labelled/t1", "p1/segmented", "p1/seg_cine", "mp/a"):
        assert why_no_image(Path(name)) is None, name
    assert why_no_image(Path("derivatives/x/sub-1_T1w")) == "derivatives"
    assert why_no_image(Path("labelsTr/la_001")) == "label maps or masks"
