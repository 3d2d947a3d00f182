"""What microscopes note beside their movies: SerialEM's ``.mdoc``, EPU's XML."""
