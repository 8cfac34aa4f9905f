"""Clients whose work runs as they made it: contexts, page tables and rings are used by the GPU as they stand in memory, without shadow
and audit, in their turn among all clients.

So it is for the host's own driver, which is trusted, and for a virtual function, which is not: the GPU itself keeps that one inside
its bounds (:mod:`host_model.gpu.function`).
"""
