"""The mediator: one physical GPU shared out as vGPUs."""
