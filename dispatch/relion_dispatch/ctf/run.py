"""One micrograph, from the dialog to the files."""

from __future__ import annotations

import time

from relion_dispatch.ctf import results
from relion_dispatch.ctf.dialog import Dialog, parse
from relion_dispatch.ctf.estimate import estimate
from relion_dispatch.ctf.images import read_image, read_movie
from relion_dispatch.ctf.quality import assess
from relion_dispatch.ctf.spectrum import Spectrum, from_amplitudes, from_frames, grid
from relion_dispatch.errors import InputError


def run(text: str, *, amplitude_spectrum: bool) -> str:
    """Do what a dialog asks for.

    Parameters
    ----------
    text
        CTFFIND4's questions answered, one a line.
    amplitude_spectrum
        Whether the input image is an amplitude spectrum rather than a micrograph.

    Returns
    -------
    str
        The log.

    Raises
    ------
    InputError
        When the dialog makes no sense, the image cannot be used or the results not be written; the
        message names the image.
    """
    dialog = parse(text)
    try:
        spectrum = _spectrum(dialog, amplitude_spectrum=amplitude_spectrum)
        pixels = grid(spectrum)
        fit = estimate(spectrum, pixels, dialog.optics, dialog.search)
        quality = assess(spectrum, pixels, dialog.optics, fit)
    except InputError as error:
        raise InputError(f"{dialog.image}: {error}") from error
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        files = results.write(dialog, fit, quality, when)
    except OSError as error:
        raise InputError(f"{dialog.image}: cannot write the results: {error}") from error
    return results.log(fit, quality, files)


def _spectrum(dialog: Dialog, *, amplitude_spectrum: bool) -> Spectrum:
    if amplitude_spectrum:
        image = read_image(dialog.image)
        if image.shape[1] != dialog.box:
            raise InputError(f"is {image.shape[1]} pixels wide, the box size says {dialog.box}")
        return from_amplitudes(image, dialog.angpix)
    if dialog.frames_per_average is None:
        frames = [read_image(dialog.image)]
    else:
        frames = read_movie(dialog.image, dialog.frames_per_average)
    return from_frames(frames, dialog.angpix, dialog.box, dialog.search.max_resolution)
