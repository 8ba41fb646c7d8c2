"""Mask R-CNN on torchvision.ops whose modules carry Detectron2's own parameter names.

Shape legend: N images, R regions, K foreground classes, L pyramid levels, A anchors per cell, M mask side.
Boxes are xyxy in network-input pixels, corner convention (pixel i covers [i, i+1]).
"""
