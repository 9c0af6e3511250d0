"""NVIDIA's libraries and cards: where the libraries are, what the cards can do, and which one to use.

Nothing here touches a card from the daemon's own process but NVML, which makes no CUDA context. Workers
import `mapped` and `answers` alone.
"""
