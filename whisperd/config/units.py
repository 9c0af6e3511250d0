"""Durations and sizes as people write them.

A `Duration` is a float of seconds and a `Size` an int of bytes; both remember how they were written, so
that a configuration can be shown as it was typed.
"""
