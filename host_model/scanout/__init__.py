"""Scan-out: what a display shows, as a picture for people and programs of the host."""

from __future__ import annotations

from .frame import Frame, HotSpot, scan_out
from .planes import ScannedDevice
from .png import png, png_pieces
from .raw import raw_frame, raw_size, same_picture, write_frame_into

__all__ = ("Frame", "HotSpot", "ScannedDevice", "png", "png_pieces", "raw_frame", "raw_size", "same_picture", "scan_out", "write_frame_into")
