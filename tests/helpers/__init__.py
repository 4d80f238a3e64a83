"""What test modules share: cases, small models and files, stand-ins, and the programs that write fixtures/."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
