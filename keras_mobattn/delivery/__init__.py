"""What is handed to whoever builds an app: every file that a model becomes, one table that compares them, and a card.

from keras_mobattn import delivery

table = delivery.deliver("runs/photos", formats=("tflite-fp32", "tflite-int8"))
"""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.delivery.format_table import delivery_table, screen_table
from keras_mobattn.delivery.make import Wishes, deliver, folder_of
from keras_mobattn.delivery.rows import Delivery, Row, load_delivery, save_delivery

__all__ = [
    "Delivery",
    "Row",
    "Wishes",
    "deliver",
    "delivery_table",
    "folder_of",
    "load_delivery",
    "save_delivery",
    "screen_table",
]
