"""Whether sensitivities explain a scan, as far as its fully sampled centre tells."""

from torch import Tensor

from kdmri.data.explained import REASONS, explained, limit
from kdmri.physics.sense import noise_variance


def doubts(
    kspace: Tensor, mask: Tensor, centre: tuple[int, int], sensitivities: Tensor
) -> list[str]:
    """Say in sentences why images that sensitivities combine are not to be trusted.

    Args:
        kspace: of one slice, complex64 (1, coils, H, W), zero frequency at the corner, 0 where
            nothing was measured.
        mask: 1 where measured, float32 (1, 1, H, W).
        centre: (h, w) of what is fully sampled around the zero frequency.
        sensitivities: complex64 (1, coils, H, W), of unit norm over the coils or 0.

    Returns:
        None or one.
    """
    arrays = kspace[0].numpy(force=True), sensitivities[0].numpy(force=True), centre
    found = explained(*arrays, noise=0.0)
    if found.unexplained > limit(centre):  # to tell the noise takes longer; it comes out low
        found = explained(*arrays, noise=1.5 * 2 * float(noise_variance(kspace, mask)))
    if found.unexplained <= limit(centre):
        return []
    why = f"{found.better} they would explain it" if found.better else REASONS
    return [
        f"its sensitivities explain only {1 - found.unexplained:.1%} of the fully sampled centre "
        f"(99 % is usual): {why}; do not trust these images where the object may fold"
    ]
