"""The physical GPU as the mediator uses it: through its registers, its status events and its interrupts."""
