"""Networks that come with the package: `checkpoint=shipped`, `checkpoint=shipped:NAME`."""

from pathlib import Path

from kdmri.errors import ConfigurationError

FOLDER = Path(__file__).resolve().parents[1] / "shipped"
"""Each network NAME.pt with its card, NAME.md."""

WORD, DEFAULT = "shipped", "scanner"


def names() -> list[str]:
    """Return the names of all networks that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def checkpoint_path(text: str | Path) -> Path:
    """Return the file that `checkpoint=` names.

    Args:
        text: a path, or "shipped" or "shipped:NAME" for a network of the package; a file of that
            name is ./shipped.

    Raises:
        ConfigurationError: the package has no network of that name.

    >>> checkpoint_path("shipped").name
    'scanner.pt'
    """
    word, _, name = str(text).partition(":")
    if word != WORD or isinstance(text, Path):
        return Path(text)
    name = name or DEFAULT
    if name not in names():
        raise ConfigurationError(
            f"checkpoint={text}: no such network comes with kdmri; there are "
            f"{', '.join(f'{WORD}:{known}' for known in names())}"
        )
    return FOLDER / f"{name}.pt"


def is_shipped(path: Path) -> bool:
    """Tell whether a checkpoint is one of the package, beside which nothing is to be written."""
    return path.parent == FOLDER
