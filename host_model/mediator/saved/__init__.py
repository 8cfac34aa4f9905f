"""A running vGPU as bytes, and back: for a machine's monitor that moves it to another host, or keeps it for later.

The guest's memory is the hypervisor's, and no part of them. What the mediator makes for the hardware from the guest's memory, shadow
tables and contexts and pinned pages, is not saved but made again. The bytes are a header, which says what the vGPU needs of a host,
and sections, one for each part of the vGPU (:mod:`.container`; the parts are in :mod:`.sections`).

A guest is told once where its graphics memory lies, and its entries, rings and surfaces stay there: so a host that cannot offer
the very same place refuses. Time is the host's: a guest sees its time stamps go on from where the other host's clock is.
What the host has noted of the guest, its findings and traces, stays behind.
"""
