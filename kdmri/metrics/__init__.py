"""Image quality per volume, the same under any batch size and number of processes."""

from kdmri.metrics.formats import FORMATS, MAIN_METRICS
from kdmri.metrics.volumes import ALL_METRICS, SliceTable, VolumeMetrics

__all__ = ["ALL_METRICS", "FORMATS", "MAIN_METRICS", "SliceTable", "VolumeMetrics"]
