"""Recordings that are worked on after their senders have gone: kept, worked, watched and delivered."""
