"""Write tests/phone_files/: HEIC as an iPhone writes it, which nothing in the test's environment can write.

python tests/make_phone_files.py, with the package pillow-heif installed (it brings x265, so it is no dependency). The
picture is that of tests/test_pixels.py; "turned.heic" has it lying, with the orientation that a phone held upright has.
"""

from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image
from test_pixels import STEPS, exif

FOLDER = Path(__file__).parent / "phone_files"

pillow_heif.register_heif_opener()
FOLDER.mkdir(exist_ok=True)
Image.fromarray(STEPS).save(FOLDER / "upright.heic", quality=100, chroma=444)
Image.fromarray(np.rot90(STEPS).copy()).save(FOLDER / "turned.heic", quality=100, chroma=444, exif=exif(6))
