"""Where commands print."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

LOG_WIDTH = 120


def console(stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or wide enough for a table where there is none."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)


def print_notes(notes: Iterable[str]) -> None:
    """Print what the user should know of volumes, each sentence once.

    Args:
        notes: sentences, as `SourceVolume.notes` has them.
    """
    for note, count in Counter(notes).items():
        times = f" ({count} volumes)" if count > 1 else ""
        line = f"[yellow]note[/]{times}: {escape(note)}"
        console().print(line, highlight=False, soft_wrap=True)
