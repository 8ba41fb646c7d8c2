"""ONNX export and quantisation."""
