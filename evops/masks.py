"""Masks of displacements, for kernels of distance: ``evops.masks.Ball(0.5)``."""

from evops.space.masks import Ball, Box, Doughnut, Ellipse, Mask

__all__ = ["Ball", "Box", "Doughnut", "Ellipse", "Mask"]
