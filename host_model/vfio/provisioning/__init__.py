"""Devices the newer way: configured, then created, then destroyed on demand.

The life cycle (:mod:`.life`) knows nothing of what becomes of an access; that is the device's policy: :mod:`.mediated` traps and shadows,
:mod:`.partition` has a fixed part of the GPU used without a shadow.
"""

from __future__ import annotations

from .life import DevicePolicy, LifeState, MadeDevice, Profile, ProvisionedDevice
from .mediated import MediatedPolicy
from .partition import PartitionPolicy

__all__ = ("DevicePolicy", "LifeState", "MadeDevice", "MediatedPolicy", "PartitionPolicy", "Profile", "ProvisionedDevice")
