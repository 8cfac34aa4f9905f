"""What a physical GPU and a mediated one have in common as PCI devices."""
