"""How metrics are written for a reader: the one table of their labels and digits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricFormat:
    """How a metric is shown.

    Attributes:
        label: with its unit, such as "PSNR dB".
        digits: behind the point.
        higher: whether more is better.
        spread: whether tables show its standard deviation over volumes.
    """

    label: str
    digits: int
    higher: bool
    spread: bool = False

    @property
    def spec(self) -> str:
        """What stands behind the colon of an f-string, such as ".2f"."""
        return f".{self.digits}f"


FORMATS = {
    "psnr": MetricFormat("PSNR dB", 2, higher=True, spread=True),
    "ssim": MetricFormat("SSIM", 4, higher=True, spread=True),
    "nmse": MetricFormat("NMSE", 4, higher=False),
    "hfn": MetricFormat("HFN", 4, higher=False),
    "vif": MetricFormat("VIF", 4, higher=True),
}
"""Metrics that tables show, in their order."""

MAIN_METRICS = ("psnr", "ssim", "nmse")
"""Metrics that are always measured and kept of every stage."""
