"""A student that begins with cascades of its teacher."""

import torch

from kdmri.errors import ConfigurationError
from kdmri.models.cascaded import Cascade, CascadedNetwork


def inherit(student: CascadedNetwork, teacher: CascadedNetwork) -> None:
    """Give the student copies of the teacher's cascades, evenly spread, the last one among them.

    So DistilBERT begins with every other layer of its teacher (Sanh et al. 2019, section 3). Each
    cascade brings an image closer to the target, so that a network which lacks some of them still
    does what its teacher does, less well.

    Args:
        student: its weights are overwritten.
        teacher: of cascades like the student's, as many or more.

    Raises:
        ConfigurationError: the teacher has fewer cascades, or others.
    """
    wanted, there = len(student.cascades), len(teacher.cascades)
    chosen = [teacher.cascades[(n + 1) * there // wanted - 1] for n in range(min(wanted, there))]
    shapes = [[_shapes(c) for c in cascades] for cascades in (student.cascades, chosen)]
    if shapes[0] != shapes[1]:
        raise ConfigurationError(
            "a student inherits cascades of a teacher that has as many or more of the same depth "
            "and width, such as teacher.depth=3 teacher.cascades=10 for one of five of three"
        )
    for mine, theirs in zip(student.cascades, chosen, strict=True):
        mine.load_state_dict(theirs.state_dict())


def _shapes(cascade: Cascade) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in cascade.state_dict().items()}
