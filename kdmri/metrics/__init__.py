"""Image quality per volume, the same under any batch size and number of processes.

`kdmri.metrics.volumes` measures; what is named here reads and shows figures, and needs no PyTorch.
"""

from kdmri.metrics.formats import FORMATS, MAIN_METRICS
from kdmri.metrics.table import ALL_METRICS, SliceTable

__all__ = ["ALL_METRICS", "FORMATS", "MAIN_METRICS", "SliceTable"]
