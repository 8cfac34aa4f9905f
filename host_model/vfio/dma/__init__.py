"""How a mediated device reaches its user's memory: type1 containers, iommufd, and the IOMMU in front of the GPU.

From the user inwards: a monitor hands pieces of its own memory (:mod:`.user_memory`) to an address space (:mod:`.space`), by a
:mod:`.type1` container or an :mod:`.iommufd` context. A device looks into the space through an :mod:`.access`, which pins pages when
the device needs them and hears when they go. :mod:`.iommu` stands between the GPU and the host's memory; :mod:`.port` makes a
hypervisor port of all that.
"""
