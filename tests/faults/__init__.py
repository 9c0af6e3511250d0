"""What breaks in a daemon that works: what its clients see, what its log says, and what comes back by itself.

Those faults where systemd or the kernel of a whole machine has a part are in `boxes/`.
"""
