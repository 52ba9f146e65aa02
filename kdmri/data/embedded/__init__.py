"""Data sets made on first use from images that packages ship: one head, cut into slabs.

All slabs come from one subject, so figures on them say how methods compare, not how well they carry
over to other people.
"""

from kdmri.data.embedded.coils import HeadWithCoils
from kdmri.data.embedded.slabs import MADE_OF, ORIENTATIONS, HeadInSlabs, refuse
from kdmri.data.embedded.sources import find_colin27, find_mni

__all__ = [
    "MADE_OF",
    "ORIENTATIONS",
    "HeadInSlabs",
    "HeadWithCoils",
    "find_colin27",
    "find_mni",
    "refuse",
]
