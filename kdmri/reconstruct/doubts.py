"""Whether sensitivities explain a scan, as far as its fully sampled centre tells."""

from torch import Tensor

from kdmri.data.companions import central, unexplained
from kdmri.physics.sense import noise_variance

DOUBTFUL = 0.03
"""Share of a centre's energy that is no noise and that sensitivities leave unexplained: 1 % at most
in scans that were looked at, 6 % where a head is larger than the field of view."""


def doubts(
    kspace: Tensor, mask: Tensor, centre: tuple[int, int], sensitivities: Tensor
) -> list[str]:
    """Say in sentences why images that sensitivities combine are not to be trusted.

    Args:
        kspace: of one slice, complex64 (1, coils, H, W), zero frequency at the corner.
        mask: 1 where measured, float32 (1, 1, H, W).
        centre: (h, w) of what is fully sampled around the zero frequency.
        sensitivities: complex64 (1, coils, H, W), of unit norm over the coils or 0.

    Returns:
        None or one.
    """
    share = signal = float(unexplained(kspace, centre, sensitivities))
    if share > DOUBTFUL:  # to tell the noise takes longer; it comes out low, so 1.5 times it
        coils, samples = kspace.shape[1], centre[0] * centre[1]
        noise = 3 * float(noise_variance(kspace, mask)) * samples * (coils - 1)
        signal -= noise / float(central(kspace, centre).abs().square().sum())
    if signal <= DOUBTFUL:
        return []
    return [
        f"its sensitivities explain only {1 - share:.1%} of the fully sampled centre (99 % is "
        "usual): the object may be larger than the field of view, or they may be those of another "
        "scan; do not trust these images where the object may fold"
    ]
