"""Who was scanned, as far as the names of all files of a source say, and which are label maps."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from kdmri.data.readers.naming import split_of_folder
from kdmri.errors import DataError

TOKEN = re.compile(r"[^\W_]+")
BIDS = re.compile(r"(?<![^\W_])(sub-[^\W_]+)")
STRONG = re.compile(r"(?<!\d)(\d{3}_S_\d{4,5})(?!\d)|(?<![^\W_])(OAS\d_\d{4})(?!\d)", re.I)
"""IDs of several parts: ADNI's site and roster number, OASIS' release and number."""

RULES = {BIDS: "sub-* in their names (BIDS)", STRONG: "ADNI's or OASIS' numbers in their names"}

CONTRAST = re.compile(
    r"t[12](?:w|c|ce|gd|n|f|s|star|map|rho)?|pdw?|flair|dwi|dti|adc|swi|swan|qsm|mra|tof|bold|asl"
    r"|mprage|mpr\d*|mp2rage|spgr|flash|tse|fse|gre|epi|cine|stir|lge|unit1|inv[12]|angio|fieldmap"
    r"|b(?:0|[1-9]\d{2,3})|(?:te|tr|ti|fa)\d+"
    r"|mag|magnitude\d?|phase\d?|phasediff|real|imag|complex|kspace|\d+mm|[137]t|(?:19|20)\d{6}"
)
"""What is measured, and when: contrasts, parts of complex images, field strengths, dates."""

SESSION = re.compile(
    r"(ses|sess|session|visit|run|echo|frame|rep|slice|slc|tp|timepoint|time|day|week|month|year"
    r"|part|fold|batch|dataset|task|rest|coil|channel)\d*"
    r"|(site|center|centre|scanner|group)(?:\d*|[a-z])"
)
"""Words that count what is no person; the number follows at once or as the next token."""

AGAIN = re.compile(r"baseline|followup|retest|pre|post")
GROUP = re.compile(
    r"hgg|lgg|patients?|controls?|healthy|subjects|images?|data|nifti|nii|dicom|raw|rawdata|scans?"
    r"|sourcedata|anat|func|perf|fmap|mri?|brains?|volumes?|img|mnilinear|mninonlinear"
)
"""Words that name nobody where a name has no other."""

COUNTED = re.compile(
    r"(?:scan|series|img|image|im|vol|volume|file)?\d+|scan|series|img|image|im|vol"
)
YEAR = re.compile(r"(?:19|20)\d{2}")
DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d{2}([-_.])[01]\d\1[0-3]\d|[0-3]\d([-_.])[0-3]\d\2(?:19|20)\d{2})(?!\d)"
    r"(?:[-_.T ][0-2]\d([-_.:])[0-5]\d\3[0-5]\d(?!\d))?"
)
"""A date in three parts, year first or last, and the time of day behind it."""

DATA_SET = re.compile(r"(?!sub|patient|pat|case|participant|volunteer)[a-z]{3,}\d+", re.I)
"""A token such as BraTS2021 or OAS1, which numbers nobody where every name has it."""

LABEL_FOLDERS = re.compile(r"labels?(?:tr|ts|val)?|masks?|segmentations?|us_masks")
LABELS = re.compile(r"[a-z]*masks?\d*|dseg|probseg|labels?|segmentations?|groundtruth|pve")
"""Tokens that name a label map or mask wherever they stand."""

LAST_LABELS = re.compile(r"[a-z]*seg|segm|segtri|gt|roi")
"""Tokens that name one at the end of a name."""

DERIVATIVES = "derivatives"
DECATHLON = re.compile(r"images(?:tr|ts|val)", re.I)


class Kind(Enum):
    """What a name says."""

    ID = auto()
    WORD = auto()
    COUNT = auto()


@dataclass(frozen=True)
class Part:
    """A folder or the stem of a file: whom it names, and how."""

    subject: str
    kind: Kind


@dataclass(frozen=True)
class Person:
    """Who was scanned.

    Attributes:
        subject: their name.
        rule: what told it.
    """

    subject: str
    rule: str


def why_no_image(place: Path) -> str | None:
    """Tell from its name why a file is no image to learn from.

    Args:
        place: the file relative to its source, without ending.

    Returns:
        "label maps or masks", "derivatives", or None for an image.
    """
    folders = [folder.lower() for folder in place.parts[:-1]]
    if DERIVATIVES in folders:
        return DERIVATIVES
    tokens = [token.lower() for token in TOKEN.findall(place.name)]
    if (
        any(LABEL_FOLDERS.fullmatch(folder) for folder in folders)
        or any(LABELS.fullmatch(token) for token in tokens)
        or (tokens and LAST_LABELS.fullmatch(tokens[-1]))
    ):
        return "label maps or masks"
    return None


def people(places: Sequence[Path], alone: str) -> list[Person]:
    """Tell who was scanned from all names together.

    `sub-*`, ADNI's and OASIS' numbers count wherever they stand. Otherwise it is the outermost
    folder that names more than a contrast, a session, a group or a split, else the file. Folders
    that every path has in common name nobody where something further in does. Of a name counts
    what leads to its first number, without contrasts, sessions and dates.

    Args:
        places: the files relative to their source, without ending.
        alone: subject of files whose names say nothing, such as T1 without a folder.

    Returns:
        A person for each place.

    Raises:
        DataError: names contradict each other, or one name occurs below several persons, so that
            either could be the person.
    """
    strong = [_strong(place) for place in places]
    rest = [place for place, person in zip(places, strong, strict=True) if person is None]
    weak = iter(_weak(rest, alone))
    return [next(weak) if person is None else person for person in strong]


def person_of_name(place: Path, places: Iterable[Path]) -> str:
    """Tell the person that the file's own name says, whatever its folders are.

    Args:
        place: the file relative to its source, without ending.
        places: all files of the source.
    """
    strong = _strong(Path(place.name))
    part = _part(place.name, _common(list(places)), is_file=True)
    return strong.subject if strong else part.subject if part else place.name


def _strong(place: Path) -> Person | None:
    for pattern, rule in RULES.items():
        found = dict.fromkeys(m[0] for part in place.parts for m in pattern.finditer(part))
        if len(found) > 1:
            raise DataError(f"{place}: names {' and '.join(found)}; a file is of one subject")
        if found:
            return Person(next(iter(found)), rule)
    return None


def _weak(places: list[Path], alone: str) -> list[Person]:
    common = _common(places)
    paths = [_parts(place, common) for place in places]
    _drop_wrappers(paths)
    persons = []
    for folders, stem in paths:
        if folders:
            persons.append(Person(folders[0].subject, "the outermost folders that name someone"))
        elif stem:
            persons.append(Person(stem.subject, "the names of the files"))
        else:
            persons.append(Person(alone, "the folder of the source"))
    _check(paths, places)
    return persons


Parts = tuple[list[Part], Part | None]


def _parts(place: Path, common: set[str]) -> Parts:
    """Describe the folders that name someone, and the stem."""
    folders = list(place.parts[:-1])
    for number, folder in enumerate(folders):
        if DECATHLON.fullmatch(folder):
            folders = folders[number:]
            break
    named = (_part(f, common, is_file=False) for f in folders if split_of_folder(f) is None)
    return [part for part in named if part], _part(place.name, common, is_file=True)


def _drop_wrappers(paths: list[Parts]) -> None:
    """Drop outer folders that all paths have in common while all have an ID further in."""
    while len(paths) > 1 and all(
        folders
        and folders[0] == paths[0][0][0]
        and any(part.kind is Kind.ID for part in (*folders[1:], stem) if part)
        for folders, stem in paths
    ):
        for folders, _ in paths:
            del folders[0]


def _check(paths: list[Parts], places: list[Path]) -> None:
    """Stop where a numbered name occurs below several folders, so that either may be the person.

    Names of protocols with a number in them are no such names unless there are as many of them as
    of folders; below folders of words alone, such as `before`, or years, two are enough.
    """
    below: dict[str, dict[str, Path]] = defaultdict(dict)
    numbered: set[str] = set()
    for (folders, stem), place in zip(paths, places, strict=True):
        if not folders:
            continue
        outer = folders[0]
        is_word = outer.kind is Kind.WORD or YEAR.fullmatch(outer.subject) is not None
        if not is_word:
            numbered.add(outer.subject)
        for part in (*folders[1:], stem):
            if part is None or part.subject == outer.subject:
                continue
            if part.kind is Kind.ID or (is_word and part.subject.isdecimal()):
                below[part.subject].setdefault(outer.subject, place)
    series: dict[str, list[str]] = defaultdict(list)
    for name in below:
        series[re.sub(r"\d+", "", name)].append(name)
    for names in series.values():
        repeated = next((name for name in names if len(below[name]) > 1), None)
        outside = list(dict.fromkeys(folder for name in names for folder in below[name]))
        enough = len(outside) if numbered.issuperset(outside) else 2
        if repeated and len(names) >= enough:
            first, second = list(below[repeated].values())[:2]
            raise DataError(
                f"{first} and {second}: is `{repeated}` a subject, or its folder `{outside[0]}`? "
                f"{len(names)} names of this kind lie below {len(outside)} folders; say which with "
                "subjects=name or subjects=folder"
            )


def _common(places: Sequence[Path]) -> set[str]:
    """Return tokens such as BraTS2021 that all names have, which tell nobody from another."""
    counts = Counter(token for place in places for token in set(TOKEN.findall(place.as_posix())))
    return {
        token
        for token, count in counts.items()
        if count == len(places) > 1 and DATA_SET.fullmatch(token)
    }


def _part(name: str, common: set[str], *, is_file: bool) -> Part | None:
    """Tell whom a name names; None where it names a contrast, a session or a group alone."""
    name = DATE.sub(lambda date: " " * len(date[0]), name)
    kept, counts_next = [], False
    for match in TOKEN.finditer(name):
        token = match[0].lower()
        numbered = SESSION.fullmatch(token)
        if not (
            (counts_next and token.isdecimal())
            or numbered
            or CONTRAST.fullmatch(token)
            or AGAIN.fullmatch(token)
        ):
            kept.append(match)
        counts_next = numbered is not None and token in numbered.groups()
    words = [match[0].lower() for match in kept]
    if all(GROUP.fullmatch(word) for word in words):
        return None
    if is_file and all(COUNTED.fullmatch(word) for word in words):
        return Part(_text(name, kept), Kind.COUNT)
    numbers = [n for n, m in enumerate(kept) if re.search(r"\d", m[0])]
    telling = [n for n in numbers if kept[n][0] not in common]
    if telling:
        return Part(_text(name, kept[: telling[0] + 1]), Kind.ID)
    return Part(_text(name, kept), Kind.ID if numbers else Kind.WORD)


def _text(name: str, kept: list[re.Match[str]]) -> str:
    """Put tokens together again, each with the character that stands before it."""
    text = ""
    for match in kept:
        text += (name[match.start() - 1] if text else "") + match[0]
    return text
