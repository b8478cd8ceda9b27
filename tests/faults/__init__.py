"""Faults, injected: campaigns of seeded cases that distsim has to survive, or to end with a clear word.

`launch/faults` runs them at length, test_campaigns.py a short form of each. Nothing in distsim knows of them: they kill
processes, refuse system calls from outside, damage files, and replace functions. A case is a function of
(campaign, seed, number); a failing one prints the line that repeats it.
"""
