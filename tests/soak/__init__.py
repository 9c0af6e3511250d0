"""Hours of all kinds of work, good and bad, while workers die: nothing may be lost, wrong or left behind.

    make soak MINUTES=120 SEED=1

Guests visit a real daemon, each with one errand after the other (`errands`), and every minute a worker is
killed (`killing`). Each request has to be answered, rightly or with an error that it may get; meanwhile and
at the end it is measured what the daemon holds (`watching`). The seed decides which errands and which
workers; when they meet is up to the machine.
"""
