"""What a configuration may choose to reconstruct with; nothing is imported for it."""

DEVICES = ("auto", "cpu", "cuda")

RUNTIMES = ("torch", "onnx", "openvino")
"""What runs the network: the checkpoint itself, or a file that `kdmri export` made of it."""
