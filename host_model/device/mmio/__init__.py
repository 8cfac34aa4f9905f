"""A vGPU's register accesses: attribute byte → plain storage, masks, or a handler."""
