"""A .tflite file as objects that can be edited, and back."""


def unpack(content):
    """Return the bytes of a .tflite file as a ModelT of ai_edge_litert. What is appended to it is dropped."""
    from ai_edge_litert.tools.flatbuffer_utils import read_model_from_bytearray

    return read_model_from_bytearray(content)


def pack(model):
    """Return a ModelT as the bytes of a .tflite file."""
    import flatbuffers

    class Builder(flatbuffers.Builder):
        def CreateNumpyVector(self, values):  # noqa: N802
            self.Prep(16, values.nbytes)  # the schema's force_align, which its Python code leaves out
            return super().CreateNumpyVector(values)

    builder = Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
