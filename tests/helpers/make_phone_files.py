"""Write tests/fixtures/phone_files/: HEIC as an iPhone writes it, which nothing in the test's environment can write.

    PYTHONPATH=tests python -m helpers.make_phone_files

Needs the package pillow-heif (it brings x265, so it is no dependency). The picture is that of steps.py; "turned.heic"
has it lying, with the orientation that a phone held upright has.
"""

import numpy as np
import pillow_heif
from PIL import Image

from helpers import FIXTURES
from helpers.steps import STEPS, exif

FOLDER = FIXTURES / "phone_files"

pillow_heif.register_heif_opener()
FOLDER.mkdir(exist_ok=True)
Image.fromarray(STEPS).save(FOLDER / "upright.heic", quality=100, chroma=444)
Image.fromarray(np.rot90(STEPS).copy()).save(FOLDER / "turned.heic", quality=100, chroma=444, exif=exif(6))
