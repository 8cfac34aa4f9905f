"""Surfaces in graphics memory: tilings, and windows onto rectangles of pixels. The 2D engine and scan-out share it."""
