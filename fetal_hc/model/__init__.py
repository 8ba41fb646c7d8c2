"""Exported ONNX models: sessions, pre-processing and prediction. No torch."""
