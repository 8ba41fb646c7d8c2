"""Training engine: the only package that imports torch or Detectron2."""
