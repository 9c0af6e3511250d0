"""Hostile input, made at random from a seed: recordings, requests, configuration files.

    make fuzz MINUTES=60 SEED=1

Recordings go to the worker that decodes in the daemon, started as the daemon starts it. What follows from a
seed is always the same.
"""
