"""Jobs that heal themselves: why one failed, what is done about it, and where it goes on."""
