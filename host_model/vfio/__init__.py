"""The device interface that a user-space virtual machine monitor sees."""
