"""Training and evaluation by Detectron2: the same configurations, data, evaluators and files as the built-in engine.

The only package that imports Detectron2. Nothing is imported or registered by importing `engine`: `engine.training_job`
imports `engine.detectron2.job` when Detectron2 is the chosen engine (`engine.engine_choice`).
"""
