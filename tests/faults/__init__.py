"""What breaks in the installed service while it works, under a real systemd.

For each fault: what its clients see, what the journal says, and what comes back by itself. `boxes/` has those
faults that are systemd's own business: its watchdog, starts that never end, stops.
"""
