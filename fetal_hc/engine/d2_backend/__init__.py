"""Training and evaluation by Detectron2: the same configurations, data, evaluators and files as the built-in engine.

The only package that imports Detectron2. Importing the engine imports and registers nothing of it:
`fetal_hc.engine.train.training_job` imports `fetal_hc.engine.d2_backend.job` when Detectron2 is the chosen engine
(`fetal_hc.engine.train.backend`).
"""
