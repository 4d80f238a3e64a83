"""A .tflite file as bytes, as objects that can be edited, and back."""

from keras_mobattn._packages import needs
from keras_mobattn.errors import InputError, expect_path


def is_tflite(content):
    """Whether bytes are a TFLite file by their identifier; the rest may be corrupt all the same."""
    return content[4:8] == b"TFL3"


def read_tflite(path):
    """Return the bytes of a TFLite file.

    Raises:
        InputError: it is none.
        OSError: it can't be read.
    """
    content = expect_path(path).read_bytes()
    if not is_tflite(content):
        raise InputError(
            f"Expected a TFLite file, with TFL3 in bytes 4 to 7. Received: {str(path)!r}, {len(content)} bytes. "
            "`mobattn export` makes one."
        )
    return content


def unpack(content):
    """Return the bytes of a .tflite file as a ModelT of ai_edge_litert. What is appended to it is dropped."""
    needs("ai-edge-litert")
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray

    return read_model_from_bytearray(content)


def pack(model):
    """Return a ModelT as the bytes of a .tflite file."""
    needs("flatbuffers")
    import flatbuffers

    class Builder(flatbuffers.Builder):
        def CreateNumpyVector(self, values):  # noqa: N802
            self.Prep(16, values.nbytes)  # the schema's force_align, which its Python code leaves out
            return super().CreateNumpyVector(values)

    builder = Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
