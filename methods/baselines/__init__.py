"""The systems that the two papers compare with, run as their authors published them.

NAME.toml holds what is particular to a system; the code is shared. A system runs its official inference in its own
environment, as a subprocess, from a JSON request; nothing of it is imported or copied here.
"""
