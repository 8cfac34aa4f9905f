"""The physical GPU: a whole PCI device that knows nothing of guests."""
