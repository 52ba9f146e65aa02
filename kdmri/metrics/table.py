"""Quality of volumes from sums over slices, as they are kept with the results."""

from dataclasses import dataclass

import numpy as np

ALL_METRICS = ("l1", "mse", "nmse", "psnr", "ssim", "hfn", "vif")

COLUMNS = (
    "volume",
    "slice",
    "data_range",
    "pixels",
    "absolute_error",
    "squared_error",
    "squared_target",
    "ssim",
    "hfn",
    "vif",
)
"""Of a table of slices."""


@dataclass(frozen=True)
class SliceTable:
    """Sums and means of each slice, one row a slice, ordered by volume and slice.

    Attributes:
        columns: float64 (N,) by name; `volume` and `slice` say which slice a row belongs to.
    """

    columns: dict[str, np.ndarray]

    @property
    def volumes(self) -> list[int]:
        """Indices of the volumes."""
        return [int(v) for v in np.unique(self.columns["volume"])]

    def to_csv(self) -> str:
        """Write one line a slice, with every digit that float64 needs."""
        rows = zip(*self.columns.values(), strict=True)
        lines = [",".join(f"{value:.17g}" for value in row) for row in rows]
        return "\n".join([",".join(self.columns), *lines, ""])

    @classmethod
    def from_csv(cls, text: str) -> "SliceTable":
        """Read what `to_csv` wrote.

        Raises:
            ValueError: the text is something else.
        """
        header, *lines = text.splitlines()
        names = header.split(",")
        if names != list(COLUMNS):
            raise ValueError(f"columns {header}")
        rows = np.array([[float(word) for word in line.split(",")] for line in lines])
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise ValueError(f"{len(lines)} lines of uneven length")
        if not np.isfinite(rows[:, :2]).all():
            raise ValueError("volumes or slices that are no numbers")
        return cls(dict(zip(names, rows.T, strict=True)))

    def select(self, rows: np.ndarray) -> "SliceTable":
        """Keep some rows, by index or by a boolean mask."""
        return SliceTable({name: values[rows] for name, values in self.columns.items()})

    def is_of_same_slices(self, other: "SliceTable") -> bool:
        """Whether volumes, slices and targets agree; sums over targets but for rounding."""
        columns = ("volume", "slice", "pixels", "squared_target")
        return len(self.columns["volume"]) == len(other.columns["volume"]) and all(
            np.allclose(self.columns[name], other.columns[name], rtol=1e-6, atol=0)
            for name in columns
        )

    def measure(self, metric: str, volume: int) -> float:
        """Measure one volume.

        Args:
            metric: one of `ALL_METRICS`; "l1", "mse", "nmse" and "psnr" (dB) are taken over the
                volume at once, "ssim", "hfn" and "vif" are means over its slices.
            volume: index of the volume.
        """
        c = self.select(self.columns["volume"] == volume).columns
        match metric:
            case "l1":
                return float(c["absolute_error"].sum() / c["pixels"].sum())
            case "mse":
                return float(c["squared_error"].sum() / c["pixels"].sum())
            case "nmse":
                return float(c["squared_error"].sum() / c["squared_target"].sum())
            case "psnr":
                mse = c["squared_error"].sum() / c["pixels"].sum()
                return float(10 * np.log10(c["data_range"][0] ** 2 / mse)) if mse else float("inf")
        values = c[metric][~np.isnan(c[metric])]
        return float(values.mean()) if values.size else float("nan")

    def per_volume(self, metric: str) -> np.ndarray:
        """Measure every volume: (V,) in the order of `volumes`."""
        return np.array([self.measure(metric, volume) for volume in self.volumes])

    def mean(self, metric: str) -> float:
        """Mean of a metric over volumes."""
        return float(self.per_volume(metric).mean())

    def mean_absolute_error(self) -> float:
        """Mean over all slices, each weighted alike: the figure that selects the best weights."""
        return float(np.mean(self.columns["absolute_error"] / self.columns["pixels"]))
