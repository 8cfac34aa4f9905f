"""Commands that a ring or batch buffer holds."""
