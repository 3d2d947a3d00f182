"""What finished jobs teach about sizes: predictions noted, measurements collected, factors used."""
