"""The device interface that a user-space virtual machine monitor sees, or any process that uses a vGPU without a machine."""

from __future__ import annotations

from .client import VfioMachine, use_vgpu

__all__ = ("VfioMachine", "use_vgpu")
