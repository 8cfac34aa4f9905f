"""A host driver that does whatever comes to its mind, and the machine that it does it on."""
