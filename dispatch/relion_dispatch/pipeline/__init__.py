"""The RELION pipeline: its settings, layout, command lines and unattended decisions."""
