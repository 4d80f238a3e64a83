"""Annotations in Pascal VOC's XML: a file for each image, with pixels that count from 1."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from keras_mobattn.data.annotations.annotated import Listed
from keras_mobattn.errors import InputError

CORNERS = ("ymin", "xmin", "ymax", "xmax")
FIRST = np.array([1, 1, 0, 0])  # the first pixel is 1, and the last one belongs to the box


def read_voc(path, images):
    """The Listed of an XML file; `images` is a function of the file's name in it and the XML's own path.

    Raises:
        InputError: no XML of this form, or without its image's size or an object's name or corners.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(
            f"Expected an annotation in XML. Received: {str(path)!r}, which is damaged ({error}). Write it again."
        ) from error
    width, height = (_number(root, path, f"size/{side}") for side in ("width", "height"))
    objects = root.findall("object")
    boxes = [[_number(each, path, f"bndbox/{corner}") for corner in CORNERS] for each in objects]
    labels = tuple(_text(each, path, "name") for each in objects)
    boxes = np.array(boxes, np.float64).reshape(-1, 4) - FIRST
    return Listed(images(root.findtext("filename", ""), path), (int(height), int(width)), boxes, labels)


def _text(element, path, name):
    found = (element.findtext(name) or "").strip()
    if not found:
        raise InputError(f"Expected <{name}> in every <{element.tag}> of {str(path)!r}. Received: one without.")
    return found


def _number(element, path, name):
    found = _text(element, path, name)
    try:
        return float(found)
    except ValueError:
        raise InputError(f"Expected a number in <{name}> of {str(path)!r}. Received: {found!r}.") from None
