"""Damage to HDF5 files: arrays and attributes of other types and shapes, groups, links, XML."""

import io
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz import odd
from tests.fuzz.odd import pick

XML = re.compile(r">([^<>]*)</")
VARIABLE = h5py.string_dtype()


def hdf5(path: Path, rng: np.random.Generator) -> None:
    """Change one thing or two in a file.

    It is changed in memory: HDF5 may not let go of one that was damaged before, and write later.
    """
    buffer = io.BytesIO(path.read_bytes())
    with h5py.File(buffer, "r+") as file:
        for _ in range(int(pick(rng, (1, 1, 2)))):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                return
            name = pick(rng, sorted(names))
            found = file[name]
            if rng.random() < 0.15:
                _attribute(pick(rng, (file, found)), rng)
            elif isinstance(found, h5py.Dataset) and rng.random() < 0.6:
                _values(file, name, rng)
            else:
                _object(file, name, rng)
    path.write_bytes(buffer.getvalue())


def _attribute(owner: Any, rng: np.random.Generator) -> None:
    known = ("subject", "largest_magnitude", "spacing_mm", "patient_id", "scale", "max")
    key = pick(rng, (*sorted(owner.attrs), *known))
    if key in owner.attrs and rng.random() < 0.2:
        del owner.attrs[key]
        return
    wanted = odd.value(rng)
    if wanted is None or isinstance(wanted, dict):
        wanted = h5py.Empty("f4")
    if isinstance(wanted, tuple | str):
        wanted = str(wanted).replace("\x00", "0")
    if isinstance(wanted, int) and not -(2**63) <= wanted < 2**64:
        wanted = 0
    owner.attrs[key] = wanted


def _object(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    """Delete an object, or put another one in its place."""
    old = file[name]
    shape = old.shape if isinstance(old, h5py.Dataset) else (3, 4)
    del file[name]
    way = int(rng.integers(10))
    if way == 0:
        file.create_group(name)
    elif way == 1:
        file[name] = h5py.SoftLink(pick(rng, ("/", f"/{name}", "/nowhere")))
    elif way == 2:
        file[name] = h5py.ExternalLink("other.h5", "/x")
    elif way == 3:
        huge = tuple(pick(rng, (n, 2**16, 2**20)) for n in (shape or (1,)))
        chunks = tuple(min(n, 4) for n in huge)
        file.create_dataset(name, huge, pick(rng, ("f4", "c8")), chunks=chunks)
    elif way == 4:
        file[name] = h5py.Empty(pick(rng, ("f4", "c8", "i2")))
    elif way == 5:
        file[name] = pick(rng, ("text", b"bytes", 3, 1.5, 1j, True))
    elif way == 6:
        file.create_dataset(name, (2,), VARIABLE)[:] = pick(rng, odd.TEXTS).replace("\x00", "")
    elif way == 7:
        parts = pick(rng, ([("real", "f4"), ("imag", "S4")], [("a", "i4")], [("head", "f4")]))
        file.create_dataset(name, shape, np.dtype(parts))
    elif way == 8:
        file.create_dataset(name, (3,), h5py.ref_dtype)


def _values(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    stored = file[name]
    if (stored.size or 0) > 10**6:
        return  # declared by a change before
    if h5py.check_string_dtype(stored.dtype):
        text = stored[()] if stored.shape == () else stored[0]
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        changed = _xml(text, rng).replace("\x00", "")
        if stored.shape == ():
            del file[name]
            file[name] = changed.encode()
        else:
            stored[0] = changed
    elif stored.dtype.names and "head" in stored.dtype.names:
        _acquisitions(file, name, rng)
    elif stored.dtype.names and "real" not in stored.dtype.names:
        return
    else:
        values = stored[()]
        if values.dtype.names:
            values = values["real"] + 1j * values["imag"]
        changed = odd.array(rng, np.asarray(values))
        if changed.dtype.kind in "UMV":
            changed = changed.astype("S4")
        filters = pick(rng, ({}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}))
        del file[name]
        file.create_dataset(
            name, data=changed, **(filters if changed.ndim and changed.size else {})
        )


def _acquisitions(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    """Change headers or samples of ISMRMRD lines, or how many there are."""
    records = file[name][()]
    count = len(records)
    some = rng.integers(count, size=int(pick(rng, (1, 2, count))))
    way = rng.random()
    if way < 0.6:
        head = records["head"]
        field = pick(rng, [n for n in head.dtype.names if n not in ("idx", "user_int")])
        target = head[field]
        if rng.random() < 0.5:
            field = pick(rng, [n for n in head["idx"].dtype.names if n != "user"])
            target = head["idx"][field]
        wanted = np.asarray(odd.number(rng), "f8")
        with np.errstate(all="ignore"):
            target[some] = wanted.astype(target.dtype)
    elif way < 0.8:
        for place in some:
            length = int(pick(rng, (0, 1, len(records["data"][place]) // 2, 1000)))
            records["data"][place] = np.full(length, pick(rng, odd.FLOATS), "f4")
    else:
        records = records[:: int(pick(rng, (2, 3)))] if way < 0.9 else records[some]
    kind = file[name].dtype
    del file[name]
    file.create_dataset(name, data=records, dtype=kind, maxshape=(None,), chunks=True)


def _xml(text: str, rng: np.random.Generator) -> str:
    """Change a text between two tags, or the text as a whole."""
    found = list(XML.finditer(text))
    way = rng.random()
    if found and way < 0.7:
        match = pick(rng, found)
        inner = pick(rng, (str(odd.number(rng)), pick(rng, odd.TEXTS)))
        return text[: match.start(1)] + inner + text[match.end(1) :]
    if way < 0.8:
        return text[: int(rng.integers(len(text) + 1))]
    if way < 0.9:
        tag = pick(rng, re.findall(r"<(\w+)>", text) or [""])
        return text.replace(f"<{tag}>", "<other>").replace(f"</{tag}>", "</other>")
    return pick(rng, (*odd.TEXTS, "<!DOCTYPE x>" + text, text + text, text.upper()))
