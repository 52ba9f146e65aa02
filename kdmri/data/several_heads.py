"""Data sets of several embedded heads, or of one along several axes."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdmri.data.embedded import MADE_OF, HeadInSlabs, refuse
from kdmri.errors import DataError
from kdmri.files import write_text


@dataclass(frozen=True)
class SeveralHeads:
    """Writes the slabs of several heads, or of one along several axes, into one folder.

    Attributes:
        heads: what finds the file of each, by a name.
        orientations: of slices, as `HeadInSlabs` has them.
        make: makes what cuts one head along one axis, of `find` and `orientation`.
    """

    heads: Mapping[str, Callable[[], Path]]
    orientations: Sequence[str]
    make: Callable[..., HeadInSlabs]

    @property
    def parts(self) -> dict[str, HeadInSlabs]:
        """What makes the slabs of each head and axis, by a name that their files begin with."""
        return {
            f"{name}_{orientation}": self.make(find=find, orientation=orientation)
            for name, find in self.heads.items()
            for orientation in self.orientations
        }

    def __call__(self, folder: Path) -> None:
        """Write the slabs below `folder`, which appears when it is complete, or compare it.

        Raises:
            ConfigurationError: a part's settings cannot be used.
            DataError: a source is missing, or the folder there was made in another way.
        """
        if folder.exists():
            self._compare(folder)
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            made_of = {}
            for name, part in self.parts.items():
                own = aside / name
                part(own)
                made_of[name] = json.loads((own / MADE_OF).read_text())
                for path in own.glob("*/*.h5"):
                    split = aside / "all" / path.parent.name
                    split.mkdir(parents=True, exist_ok=True)
                    path.rename(split / f"{name}_{path.name}")
            write_text(aside / "all" / MADE_OF, json.dumps(made_of, indent=2))
            (aside / "all").rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same slabs
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _compare(self, folder: Path) -> None:
        path = folder / MADE_OF
        description = []
        try:
            found = json.loads(path.read_text())
            parts = self.parts
            if list(found) != list(parts):
                description.append(f"it is of {', '.join(found)}, now of {', '.join(parts)}")
            for name in [name for name in parts if name in found]:
                differences = parts[name].differences(found[name])
                description += [f"{name}: {difference}" for difference in differences]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: unreadable ({error!r}); remove {folder}") from error
        refuse(folder, description)
