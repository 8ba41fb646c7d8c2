"""Shared library of the project: files and images, training engine, ONNX models, batches. It knows neither domain."""
