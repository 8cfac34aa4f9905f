"""What the guest wrote → what the hardware may use."""
