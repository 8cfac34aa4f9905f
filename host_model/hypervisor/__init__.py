"""The ports between the mediator and the hypervisors under it."""
