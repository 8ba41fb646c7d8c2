"""Torch-free inference: image -> network input -> ONNX Runtime -> instances -> measurement rows."""
