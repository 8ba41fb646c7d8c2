"""Training of the outline refiner and evaluation of trained networks in millimetres. Imports torch."""
