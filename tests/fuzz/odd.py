"""Values that a header should not have."""

from typing import Any

import numpy as np

INTEGERS = (0, 1, -1, 2, 7, 255, 256, 1000, 32767, -32768, 65535, 2**31 - 1, -(2**31))
LARGE = (2**31, 2**32 - 1, 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 0.5, -1.0, 1e-40, 1e-5, 3.4e38, 1e300, np.nan, np.inf, -np.inf)
TEXTS = (
    *("", " ", "0", "-1", "1e999", "nan", "inf", "1.5", "99999999999999999999", "a" * 300),
    *("ä\u2028\U0001f9e0", "../../x", "/", "\x00", "x\ny", "[red]", "1\\2\\3", "true", "<a>&"),
)
TYPES = (
    *("u1", "i1", "u2", ">i2", "i4", "i8", "u8", "f2", "f4", ">f8", "c8", "c16", "?", "S3", "U2"),
    *("f16", "c32", "M8[s]", "V4"),
)


def pick(rng: np.random.Generator, values: Any) -> Any:
    """Draw one of several values."""
    return values[int(rng.integers(len(values)))]


def number(rng: np.random.Generator) -> int | float:
    """Draw a number of any kind."""
    return pick(rng, (*INTEGERS, *LARGE, *FLOATS))


def value(rng: np.random.Generator) -> Any:
    """Draw a number, a text, or something else."""
    others = (None, True, b"\xff\xfe", [], [1, 2], {}, {"a": 1}, np.arange(3), (1.0, "x"))
    return pick(rng, (number(rng), pick(rng, TEXTS), pick(rng, others)))


def shape(rng: np.random.Generator, old: tuple[int, ...]) -> tuple[int, ...]:
    """Change a shape, to at most 2e5 values."""
    new = list(old)
    way = int(rng.integers(6))
    if way == 0 and new:
        new.pop(int(rng.integers(len(new))))
    elif way == 1:
        new.insert(int(rng.integers(len(new) + 1)), pick(rng, (0, 1, 2, 5)))
    elif way == 2 and new:
        new[int(rng.integers(len(new)))] = pick(rng, (0, 1, 2, 3, 6, 7, 8, 31))
    elif way == 3:
        new = [int(n) for n in rng.permutation(new)]
    elif way == 4:
        new = [1] * int(rng.integers(6))
    else:
        new = [pick(rng, (1, 9, 40, 1000)), pick(rng, (1, 8, 50))]
    return tuple(new) if np.prod(new) <= 2e5 else (7, 7)


def array(rng: np.random.Generator, old: np.ndarray) -> np.ndarray:
    """Change values, type or shape of an array."""
    way = int(rng.integers(4))
    new = np.array(old)
    if way == 0 and new.size and new.dtype.kind in "iufc":
        flat = new.reshape(-1)
        wanted = int(pick(rng, (1, 3, new.size)))
        places = rng.integers(new.size, size=wanted)
        with np.errstate(all="ignore"):
            flat[places] = np.asarray(pick(rng, FLOATS), "f8").astype(new.dtype)
        return new
    if way == 1:
        with np.errstate(all="ignore"):
            try:
                kind = np.dtype(pick(rng, TYPES))
                return (new.real if kind.kind not in "cSUV" else new).astype(kind)
            except (TypeError, ValueError):
                return new.real.copy() if new.dtype.kind == "c" else new
    if way == 2 and new.dtype.kind in "iufc":
        factor = pick(rng, (0, -1, 1e-38, 1e30, 3e38, 1e-3, 1e3))
        with np.errstate(all="ignore"):
            return (new * factor).astype(new.dtype)
    return np.resize(new, shape(rng, new.shape))
