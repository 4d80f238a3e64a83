"""Images as MediaPipe takes them."""


def as_mediapipe(pixels):
    """A mediapipe.Image of uint8 [h, w, 3]."""
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
