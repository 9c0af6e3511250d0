"""`whisperd doctor`: each thing that can keep a job from running, in the order in which to mend them."""
