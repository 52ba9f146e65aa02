"""What `fastmri.models.VarNet` (0.3.0) calls the parameters of a `kdmri.models.VarNet`."""

import re

from torch import Tensor

from kdmri.models import VarNet

BLOCKS = {
    r"down\.(\d+)\.": r"down_sample_layers.\1.layers.",
    r"bottleneck\.": r"conv.layers.",
    r"upsample\.(\d+)\.": r"up_transpose_conv.\1.layers.",
    r"up\.(\d+)\.": r"up_conv.\1.layers.",
}


def fastmri_name(name: str, levels: int) -> str:
    """Name one parameter, of a network for images or sensitivities of so many levels."""
    name = name.replace("sensitivity.unet.", "sens_net.norm_unet.unet.")
    name = re.sub(r"^(cascades\.\d+)\.unet\.", r"\1.model.unet.", name)
    for own, theirs in BLOCKS.items():
        name = re.sub(rf"\bunet\.{own}", rf"unet.{theirs}", name)
    name = name.replace("layers.3.weight", "layers.4.weight")  # they drop out between the two
    name = name.replace(f"up_conv.{levels - 1}.", f"up_conv.{levels - 1}.0.")
    return name.replace("unet.output.", f"unet.up_conv.{levels - 1}.1.")


def fastmri_weights(network: VarNet, levels: int, prefix: str = "") -> dict[str, Tensor]:
    """Return the weights as fastMRI would have stored them; all U-Nets have as many levels."""
    weights = network.state_dict()
    return {f"{prefix}{fastmri_name(name, levels)}": value for name, value in weights.items()}
