"""A project as RELION's window sees it: its job list, each job's options, its notes."""
