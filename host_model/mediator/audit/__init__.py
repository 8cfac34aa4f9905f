"""The command audit: what a guest's rings and privileged batches may tell the GPU.

Commands of a ring run with the rights of a driver: they reach the whole global table and every register. So each one is
looked at before it runs, in a copy that the guest cannot reach; that copy is what runs.
"""
