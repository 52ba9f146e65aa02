"""Networks as files that other programs run, checked against the network on real slices."""
