"""Aids that several tests share."""
