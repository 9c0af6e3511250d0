"""Jobs under a daemon that dies: what was promised must come, once, whatever happens in between.

    make torture KILLS=500 SEED=7

A round gives a real daemon a load of jobs and strikes it meanwhile (`faults`), then asks what became of each
job (`verdict`). The seed decides which jobs, which faults and how long between them; what they hit is up to
the machine, so a seed makes a failure likely to come again, not certain.
"""
