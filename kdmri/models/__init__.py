"""Networks; each is called as `net(image, kspace, mask) -> image` and knows nothing of training.

A network of one's own is a class in this folder that derives from `CascadedNetwork`, is named in
`__all__` below, and has a YAML file in `configs/architecture`.
"""

from kdmri.models.cascaded import Cascade, CascadedNetwork, Tap
from kdmri.models.dc_cnn import DCCNN
from kdmri.models.stored import build_network, load_network, network_settings
from kdmri.models.unet import UNet
from kdmri.models.varnet import VarNet
from kdmri.models.vdsr import VDSR

__all__ = [
    "DCCNN",
    "VDSR",
    "Cascade",
    "CascadedNetwork",
    "Tap",
    "UNet",
    "VarNet",
    "build_network",
    "load_network",
    "network_settings",
]
